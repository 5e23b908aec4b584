"""What a model server says of itself, and the endpoint that a client makes of it.

The announcement is Apache Curator's `ServiceInstance` as JSON (curator-x-discovery), at
`/sosie/services/<model>/<instance id>`, so that Java services can join or read along. Curator's own fields are
spelt as Curator spells them; ours are in `payload`. Unknown keys are ignored: others may add theirs. Written and read
as Curator's JsonInstanceSerializer 5.7 does in its compatible mode, which leaves `enabled` out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

BASE_PATH = "/sosie/services"
State = Literal["ready", "draining"]


class ServedModel(msgspec.Struct, frozen=True):
    """One model on one server. `versions`: those that are ready; `max_batch`: rows, 0 when the server does not say."""

    versions: tuple[str, ...] = ()
    max_batch: int = 0


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Our part of an announcement. `address` and `port` of the instance are gRPC's; `http_port` 0 means none.

    `fixed`: this node is never written again; what changes is announced under a new id and the old one taken away.
    So one watch on the folder tells everything, and no reader needs one on each node.
    """

    models: dict[str, ServedModel] = {}
    http_port: int = 0
    weight: float = 1.0
    device: str = ""
    zone: str = ""
    build: str = ""
    state: State = "ready"
    fixed: bool = False


class ServiceInstance(msgspec.Struct, frozen=True, kw_only=True):
    """Curator's ServiceInstance; `registration_time` is in epoch milliseconds. `DYNAMIC` ones are ephemeral nodes."""

    name: str
    id: str
    address: str
    port: int
    ssl_port: int | None = msgspec.field(default=None, name="sslPort")
    payload: Payload | None = Payload()
    registration_time: int = msgspec.field(default=0, name="registrationTimeUTC")
    service_type: str = msgspec.field(default="DYNAMIC", name="serviceType")
    uri_spec: Any = msgspec.field(default=None, name="uriSpec")
    enabled: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def path(self) -> str:
        """The node that announces it."""
        return f"{service_path(self.name)}/{self.id}"

    def encode(self) -> bytes:
        """JSON, as Curator writes it."""
        return msgspec.json.encode(self)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One server that can run one model now. `address` is `host:port` of its gRPC listener; `http_port` 0 means none.

    A server that speaks HTTP alone has an `address` `http://host:port`.
    """

    id: str
    model: str
    address: str
    versions: tuple[str, ...] = ()
    max_batch: int = 0
    weight: float = 1.0
    device: str = ""
    zone: str = ""
    state: State = "ready"
    registered: int = 0
    http_port: int = 0


class Directory(Protocol):
    """Who serves a model. `endpoints` is called for each batch, from any thread: it must be a look-up, never a wait."""

    def endpoints(self, model: str) -> tuple[Endpoint, ...]:
        """The servers that are ready for `model`; empty when none is known (yet)."""
        ...

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(model)` after each change, in some other thread; returns what ends the subscription."""
        ...

    def where(self, model: str) -> str:
        """Where the endpoints of `model` are looked for, for error messages."""
        ...


class StaticDirectory:
    """Endpoints given by hand: a fixed server without ZooKeeper.

    Args:
        addresses: model -> `host:port` of each server's gRPC listener.
    """

    def __init__(self, addresses: dict[str, tuple[str, ...]]) -> None:
        self._endpoints = {
            model: tuple(Endpoint(id=address, model=model, address=address) for address in each)
            for model, each in addresses.items()
        }

    def endpoints(self, model: str) -> tuple[Endpoint, ...]:
        """As given."""
        return self._endpoints.get(model, ())

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:  # noqa: ARG002 - it never changes
        """Nothing ever changes, so nothing is ever called."""
        return lambda: None

    def where(self, model: str) -> str:  # noqa: ARG002 - the same for each model
        """A phrase for error messages."""
        return "the given addresses"


def service_path(model: str) -> str:
    """The ZooKeeper folder in which the servers of `model` announce themselves."""
    return f"{BASE_PATH}/{model}"


def decode(data: bytes) -> ServiceInstance:
    """Read an announcement.

    Raises:
        msgspec.MsgspecError: it is not a ServiceInstance.
    """
    return msgspec.json.decode(data, type=ServiceInstance)


def endpoint_of(instance: ServiceInstance) -> Endpoint:
    """What a client needs of an announcement."""
    payload = instance.payload or Payload()
    served = payload.models.get(instance.name, ServedModel())
    host = f"[{instance.address}]" if ":" in instance.address else instance.address
    return Endpoint(
        id=instance.id,
        model=instance.name,
        address=f"{host}:{instance.port}",
        versions=served.versions,
        max_batch=served.max_batch,
        weight=payload.weight,
        device=payload.device,
        zone=payload.zone,
        state="draining" if instance.enabled is False else payload.state,
        registered=instance.registration_time,
        http_port=payload.http_port,
    )


def usable(endpoints: list[Endpoint]) -> tuple[Endpoint, ...]:
    """Those that take work: not draining, one per address.

    A server whose announcer was killed is there twice until the old session expires: the newest entry counts.
    """
    newest: dict[str, Endpoint] = {}
    for endpoint in sorted(endpoints, key=lambda each: (each.registered, each.id)):
        newest[endpoint.address] = endpoint
    return tuple(sorted((each for each in newest.values() if each.state == "ready"), key=lambda each: each.address))
