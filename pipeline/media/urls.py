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
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the last 32 bits are an IPv4 address
# Public by their number, and yet not the public's: what answers there is the machine's own cloud, or a relay.
_NOT_PUBLIC = (
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure: metadata, DNS, agents
    ipaddress.IPv4Network("192.0.0.0/24"),  # RFC 6890: protocol assignments; Oracle keeps metadata there
    ipaddress.IPv4Network("192.88.99.0/24"),  # RFC 7526: 6to4 relays
    ipaddress.IPv6Network("3fff::/20"),  # RFC 9637: documentation
    ipaddress.IPv6Network("2001:db8::/32"),
)
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

    IPv6 addresses that embed an IPv4 one (mapped, 6to4, Teredo, NAT64, ISATAP) are as public as that one is; of the
    others only global unicast (2000::/3) is public.
    """
    inner: list[ipaddress.IPv4Address] = []
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour:
            inner = [address.sixtofour]
        elif address.teredo:
            inner = list(address.teredo)
        elif address in _NAT64 or int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            inner = [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
        if not all(is_public(each) for each in inner):
            return False
        if address in _NAT64:
            return True
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return (address.is_global or bool(inner)) and not address.is_multicast and not address.is_reserved


def address_test(networks: Sequence[str]) -> AddressTest:
    """Public addresses, and those in networks that a job's spec lists (a company's own object store).

    Args:
        networks: CIDR, e.g. `10.20.0.0/16`.
    """
    listed = [ipaddress.ip_network(network) for network in networks]

    def is_allowed(address: Address) -> bool:
        if any(address.version == network.version and address in network for network in listed):
            return True
        return is_public(address)

    return is_allowed


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
    if not _HOST.fullmatch(host) or len(host) > 253 or any(len(label) > 63 for label in host.split(".")):  # RFC 1035
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
