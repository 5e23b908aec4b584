"""Which URLs and which addresses may be fetched from."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import Rejected
from pipeline.media.shown import shown
from pipeline.media.urls import address_test, is_public, parse_url

HOSTS = ("media.example.com", "*.cdn.example.org", "odd.example.com:8443")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2001:0:a00:1::f5ff:fffe", "fec0::1", "::127.0.0.1", "::8.8.8.8", "64:ff9b:1::7f00:1", "100::1", "3fff::1",
        "5f00::1", "2002:a9fe:a9fe::1", "2606:4700::5efe:10.0.0.1", "168.63.129.16", "::ffff:168.63.129.16",
        "64:ff9b::a83f:8110", "100.100.100.200", "192.0.0.192", "192.88.99.1", "ff0e::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_mapped_addresses_are_judged_as_what_they_map(address: ipaddress.IPv4Address) -> None:
    assert is_public(ipaddress.IPv6Address(f"::ffff:{address}")) == is_public(address)


def test_listed_hosts() -> None:
    remote = parse_url("HTTPS://Media.Example.com./a b".replace(" ", "%20") + "?x=1#frag", HOSTS)
    assert (remote.scheme, remote.host, remote.port, remote.target) == ("https", "media.example.com", 443, "/a%20b?x=1")
    assert parse_url("http://a.b.cdn.example.org", HOSTS).target == "/"
    assert parse_url("https://odd.example.com:8443/猫", HOSTS).target == "/%E7%8C%AB"
    assert parse_url("http://[2606:4700::1]:81/", ("[2606:4700::1]:81",)).host == "2606:4700::1"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://other.example.com/", "host_not_allowed"),
        ("http://cdn.example.org/", "host_not_allowed"),
        ("http://evilcdn.example.org/", "host_not_allowed"),
        ("http://media.example.com.evil.net/", "host_not_allowed"),
        ("http://media.example.com:8080/", "host_not_allowed"),
        ("https://odd.example.com/", "host_not_allowed"),
        ("http://media.example.com@evil.net/", "bad_url"),
        ("http://user:secret@media.example.com/", "bad_url"),
        ("http://evil.net\\@media.example.com/", "bad_url"),
        ("http://media.example.com/a b", "bad_url"),
        ("http://media.example.com/\r\nHost: x", "bad_url"),
        ("http://media.example.com:99999/", "bad_url"),
        ("http:///path", "bad_url"),
        ("http://[::1/", "bad_url"),
        ("http://localhost/", "private_address"),
        ("http://127.0.0.1/", "private_address"),
        ("http://127.1/", "private_address"),
        ("http://2130706433/", "private_address"),
        ("http://0x7f000001/", "private_address"),
        ("http://[::1]/", "private_address"),
        ("http://[::ffff:127.0.0.1]/", "private_address"),
        ("http://169.254.169.254/latest/meta-data", "private_address"),
        ("http://017700000001/", "private_address"),
        ("http://0177.0.0.01/", "private_address"),
        ("http://0/", "private_address"),
        ("http://①②⑦.⓪.⓪.①/", "private_address"),
        ("http://127。0。0。1/", "private_address"),
        ("http://ｌｏｃａｌｈｏｓｔ/", "private_address"),
        ("http://[fe80::1%25eth0]/", "bad_url"),
        ("http://[fe80::1%eth0]/", "bad_url"),
        ("http://media.example.com／@127.0.0.1/", "bad_url"),
        ("http://media.example.com#@127.0.0.1/x", "ok"),
        ("http://127.0.0.1#@media.example.com/", "private_address"),
        ("http://media.example.com:80:81/", "bad_url"),
        ("http://" + "a" * 64 + ".cdn.example.org/", "bad_url"),
        ("http://" + "a." * 130 + "cdn.example.org/", "bad_url"),
        ("http://media.example.com:-1/", "bad_url"),
        ("http://media.example.com:0/", "host_not_allowed"),
    ],
)
def test_what_is_refused(url: str, code: str) -> None:
    if code == "ok":  # a fragment is never sent
        assert parse_url(url, HOSTS).host == "media.example.com"
        return
    with pytest.raises(Rejected) as caught:
        parse_url(url, HOSTS)
    assert caught.value.code == code
    assert "secret" not in caught.value.sentence


def test_reasons_keep_no_signature() -> None:
    assert shown("https://u:p@h/x.jpg?X-Amz-Signature=abc") == "'https://h/x.jpg?…'"
    assert shown("a\nb\x1b") == "'a\\u000ab\\u001b'"
    assert len(shown("x" * 1000)) <= 170


def test_networks_that_the_job_lists() -> None:
    is_allowed = address_test(["10.20.0.0/16", "fd12::/64"])
    assert all(is_allowed(ipaddress.ip_address(each)) for each in ("10.20.3.4", "fd12::1", "8.8.8.8"))
    assert not any(is_allowed(ipaddress.ip_address(each)) for each in ("10.21.0.1", "fd13::1", "127.0.0.1", "::1"))
