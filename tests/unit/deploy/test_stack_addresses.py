from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.addresses import GivenAddresses, host_port
from materials.errors import UsageError


def test_an_option_wins_over_the_environment() -> None:
    environment = {"SOSIE_INDEX": "a:1", "SOSIE_TRITON": "t:2"}
    assert GivenAddresses.read(environment, index="b:3") == GivenAddresses(index="b:3", triton="t:2")


def test_redis_without_a_scheme_becomes_a_url() -> None:
    assert GivenAddresses.read({}, redis="cache:6379").redis == "redis://cache:6379/0"


def test_a_quorum_with_a_chroot_is_kept_as_it_is() -> None:
    assert GivenAddresses.read({"SOSIE_ZOOKEEPER": "a:1,b:2/sosie"}).zookeeper == "a:1,b:2/sosie"


@pytest.mark.parametrize(
    ("part", "address"),
    [
        ("index", "nohost"),
        ("index", "host:"),
        ("index", "host:0"),
        ("triton", "host:99999"),
        ("zookeeper", "a:1,b"),
        ("zookeeper", "a:1,,b:2"),
        ("redis", "http://host:1"),
        ("redis", "redis://host:port"),
        ("redis", "redis://"),
    ],
)
def test_what_cannot_be_an_address_is_refused_with_the_part_and_a_remedy(part: str, address: str) -> None:
    with pytest.raises(UsageError) as caught:
        GivenAddresses.read({}, **{part: address})
    assert part in caught.value.message
    assert f"--{part}" in caught.value.remedy


@given(st.from_regex(r"[a-z0-9.-]{1,30}", fullmatch=True), st.integers(1, 65535))
def test_host_port_reads_what_it_would_write(host: str, port: int) -> None:
    assert host_port(f"{host}:{port}") == (host, port)
