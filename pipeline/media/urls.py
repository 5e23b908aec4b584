"""Which URLs may be fetched, and which addresses may be connected to."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

import msgspec

from materials.errors import Rejected
from pipeline.media.shown import shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressTest = Callable[[Address], bool]
DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_SAFE = "/%:=&?~+!$,;'@()*[]"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]+")


class RemoteFile(msgspec.Struct, frozen=True):
    """A URL in parts. `host`: lower-case ASCII, no brackets. `target`: path and query, as the request line has it."""

    url: str
    scheme: str
    host: str
    port: int
    target: str


def is_public(address: Address) -> bool:
    """Whether an address is reachable by anyone: neither loopback, private, link-local (cloud metadata) nor multicast.

    IPv6 addresses that embed an IPv4 one (mapped, 6to4, Teredo, NAT64) are as public as that one is.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner: list[ipaddress.IPv4Address] = []
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour:
            inner = [address.sixtofour]
        elif address.teredo:
            inner = list(address.teredo)
        elif address in _NAT64:
            inner = [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
        if inner:
            return all(is_public(each) for each in inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse_url(url: str, hosts: Sequence[str]) -> RemoteFile:
    """A URL whose host the spec lists.

    Raises:
        Rejected: `bad_url`, `scheme_not_allowed`, `host_not_allowed`, `private_address` (an unlisted host that is
            this machine or a private network).
    """
    if _UNSAFE.search(url):
        raise Rejected("bad_url", f"{shown(url)} contains a space, a backslash or a control character; encode it")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise Rejected("bad_url", f"{shown(url)} is not a valid URL; check host and port") from error
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise Rejected("scheme_not_allowed", f"{shown(url)} is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise Rejected("bad_url", f"{shown(url)} carries a user name; remove it, media are fetched without one")
    if not _HOST.fullmatch(host):
        raise Rejected("bad_url", f"{shown(url)} has no valid host name")
    number = DEFAULT_PORTS[scheme] if port is None else port
    if not _is_listed(host, number, DEFAULT_PORTS[scheme], hosts):
        literal = literal_address(host)
        if host == "localhost" or host.endswith(".localhost") or (literal is not None and not is_public(literal)):
            raise Rejected("private_address", f"{shown(url)} is a loopback or private address; media must be public")
        raise Rejected("host_not_allowed", f"{shown(url)} is on a host that the job does not list under media.hosts")
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    return RemoteFile(url, scheme, host, number, target)


def _is_listed(host: str, port: int, default_port: int, hosts: Sequence[str]) -> bool:
    for entry in hosts:
        name, allowed = _split_entry(entry, default_port)
        if port == allowed and (host == name or (name.startswith("*.") and host.endswith(name[1:]))):
            return True
    return False


def _split_entry(entry: str, default_port: int) -> tuple[str, int]:
    """`name`, `name:port` or `[v6]:port` -> name and port."""
    name, colon, port = entry.strip().lower().rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.startswith("[")):
        return name.strip("[]"), int(port)
    return entry.strip().lower().strip("[]").rstrip("."), default_port


def literal_address(host: str) -> Address | None:
    """The address that a host name spells, in any of the forms that the C library takes (`127.1`, `0x7f000001`)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
