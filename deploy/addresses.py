"""Addresses of the parts: where they run, and which of them a person has given."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from materials.errors import UsageError
from materials.redaction import without_secrets

ENVIRONMENT = {
    "zookeeper": "SOSIE_ZOOKEEPER",
    "redis": "SOSIE_REDIS",
    "index": "SOSIE_INDEX",
    "triton": "SOSIE_TRITON",
    "kafka": "SOSIE_KAFKA",
}
"""Part -> the environment variable that gives its address."""


class Addresses(msgspec.Struct, frozen=True):
    """What a client needs to reach a running stack.

    `zookeeper`, `index`, `triton` (gRPC): `host:port`; `redis`: `redis://host:port/0`; `gateway`: `http://host:port`;
    `kafka`: `host:port[,host:port…]`, empty where the stack has none.
    """

    zookeeper: str
    redis: str
    index: str
    triton: str = ""
    gateway: str = ""
    kafka: str = ""


class GivenAddresses(msgspec.Struct, frozen=True):
    """Parts that run elsewhere: they are used and not started. Empty means: start it here.

    `zookeeper` is a connect string (`host:port[,host:port…][/chroot]`), `redis` a URL, `kafka` bootstrap servers
    (`host:port[,host:port…]`). Kafka is started here only when it is asked for.
    """

    zookeeper: str = ""
    redis: str = ""
    index: str = ""
    triton: str = ""
    kafka: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str], **options: str) -> GivenAddresses:
        """Options first, then the environment; checked and normalised.

        Raises:
            UsageError: an address that cannot be one.
        """
        values = {part: options.get(part) or environment.get(name, "") for part, name in ENVIRONMENT.items()}
        return cls(
            zookeeper=_checked_quorum(values["zookeeper"]),
            redis=_checked_redis(values["redis"]),
            index=_checked_host_port("index", values["index"]),
            triton=_checked_host_port("triton", values["triton"]),
            kafka=_checked_brokers(values["kafka"]),
        )


class FixedPorts(msgspec.Struct, frozen=True):
    """Ports that a person asked for, by part; 0 means: choose a free one. Triton's is its gRPC port."""

    zookeeper: int = 0
    redis: int = 0
    index: int = 0
    triton: int = 0
    gateway: int = 0
    kafka: int = 0


def host_port(address: str) -> tuple[str, int]:
    """`host:port` -> (host, port).

    Raises:
        ValueError: it is not one.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(address)
    return host.strip("[]"), int(port)


def _checked_host_port(part: str, address: str) -> str:
    try:
        if address:
            host_port(address)
    except ValueError:
        raise UsageError(
            f"{address!r} is not an address for {part}", f"give --{part} HOST:PORT, e.g. 127.0.0.1:9000"
        ) from None
    return address


def _checked_quorum(connect: str) -> str:
    servers = connect.partition("/")[0]
    for server in servers.split(",") if connect else ():
        _checked_host_port("zookeeper", server or ",")
    return connect


def _checked_brokers(bootstrap: str) -> str:
    for server in bootstrap.split(",") if bootstrap else ():
        _checked_host_port("kafka", server.strip() or ",")
    return bootstrap.replace(" ", "")


def _checked_redis(address: str) -> str:
    if not address:
        return ""
    url = address if "://" in address else f"redis://{address}/0"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"{without_secrets(repr(address))} is not an address for redis", "give --redis redis://HOST:PORT/0"
        )
    return url
