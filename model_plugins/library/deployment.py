"""Bring a version to every server that announces its model, beside the versions that are there, and wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from materials.errors import Permanent, SosieError
from model_plugins.discovery.instances import Endpoint
from model_plugins.library.library import Library
from model_plugins.library.records import Card
from model_plugins.library.servers import ModelServer, describe

log = structlog.get_logger(__name__)

_LOOK = 0.1
Materialise = Callable[[str, Sequence[Card]], None]
"""Write versions of a model into the repository of the server at an address."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One server to deploy to.

    `materialise`: writes into the repository that this server reads, which lasts over a restart; None where we share
    no folder with it: then the files travel with the call, and `deploy` is repeated after the server's restart.
    """

    address: str
    materialise: Materialise | None = None


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """How it went on one server. `versions`: those that it answers for now; `how`: `folder`, `inline`, or `there` when
    it had the version already; `error`: empty when all is well."""

    address: str
    versions: tuple[int, ...] = ()
    how: str = ""
    error: str = ""


def deploy(library: Library, card: Card, places: Iterable[Place]) -> list[Deployed]:
    """Load a version on each server; one that fails does not keep the others from it. Harmless when repeated.

    The versions that a server has stay, so that calls to them go on.
    """
    return [_deploy_one(library, card, place) for place in places]


def _deploy_one(library: Library, card: Card, place: Place) -> Deployed:
    versions: tuple[int, ...] = ()
    try:
        with ModelServer(place.address) as server:
            versions = server.ready_versions(card.name)
            if card.version in versions and place.materialise is None:
                return Deployed(address=place.address, versions=versions, how="there")
            how = _load(library, card, place, server, versions)
            versions = server.ready_versions(card.name)
            if card.version not in versions:
                raise Permanent(f"the server took {card.key} and does not offer it; its log says why")
            return Deployed(address=place.address, versions=versions, how=how)
    except SosieError as error:
        log.warning("deploy_failed", model=card.key, server=place.address, error=str(error))
        return Deployed(address=place.address, versions=versions, error=describe(error))


def _load(library: Library, card: Card, place: Place, server: ModelServer, versions: tuple[int, ...]) -> str:
    if place.materialise is not None:
        place.materialise(place.address, [card])
        if card.version in versions:
            return "there"
        server.load(card.name)
        return "folder"
    known = library.versions(card.name)
    strangers = [each for each in versions if each not in known]
    if strangers:
        raise Permanent(
            f"the server has {card.name}@{strangers[0]}, which the library has not: sending {card.key} would end it"
        )
    wanted = {each: library.files(library.card(card.name, each)) for each in sorted({*versions, card.version})}
    server.load_inline(card.name, library.config(card.name), wanted, server.instance_group(card.name))
    return "inline"


def missing_from(version: int, endpoints: Iterable[Endpoint]) -> list[str]:
    """Addresses of announced servers that do not announce this version."""
    return [each.address for each in endpoints if str(version) not in each.versions]


def wait_announced(
    version: int,
    addresses: Iterable[str],
    look: Callable[[], Sequence[Endpoint]],
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Wait until all these servers announce the version; returns those that did not within `timeout` seconds.

    Args:
        look: what is announced now.
    """
    wanted = set(addresses)
    end = clock() + timeout
    while True:
        announced = {each.address for each in look() if str(version) in each.versions}
        late = sorted(wanted - announced)
        if not late or clock() >= end:
            return late
        pause(_LOOK)
