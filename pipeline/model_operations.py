"""What the commands of `sosie model` do: the library, the running servers and ZooKeeper put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy import record
from deploy.addresses import Addresses
from deploy.model_server.library_sync import RUNTIME, adopt, materialise, runner
from materials.errors import SosieError, UsageError
from model_plugins.discovery.instances import Endpoint
from model_plugins.discovery.zookeeper_access import Access, from_environment
from model_plugins.library import promotion
from model_plugins.library.announced import Announced
from model_plugins.library.deployment import Deployed, Place, deploy, missing_from, wait_announced
from model_plugins.library.golden import GoldenSet
from model_plugins.library.library import Library
from model_plugins.library.live_aliases import publish, published
from model_plugins.library.records import PRODUCTION, AliasChange, Card, Verification
from model_plugins.library.servers import ModelServer
from model_plugins.library.source import read_source
from model_plugins.library.store import open_store
from model_plugins.library.verification import verify
from pipeline.library_location import library_location

_SETTLE: Final = 2.0
_PASSES: Final = 5
_UNDER_WAY_S: Final = 0.5
Say = Callable[[str], None]


def library_of(state: Path) -> Library:
    """`SOSIE_LIBRARY` (a folder or `s3://bucket/prefix`), else `STATE/library`."""
    return Library(open_store(library_location(state)))


def parse_reference(text: str) -> tuple[str, int]:
    """`name@version` -> both.

    Raises:
        UsageError: it is not that.
    """
    name, at, version = text.partition("@")
    if not at or not version.isdecimal() or int(version) < 1:
        raise UsageError(f"{text!r} is not NAME@VERSION", f"e.g. {name or 'image-embedding'}@2; see `sosie model list`")
    return name, int(version)


class Target(msgspec.Struct, frozen=True):
    """A library beside a running system."""

    library: Library
    addresses: Addresses
    state: Path
    access: Access

    @classmethod
    def of(cls, state: Path, addresses: Addresses) -> Target:
        """The library of a state folder and the system that runs there."""
        return cls(library_of(state), addresses, state, from_environment())

    def announced(self) -> Announced:
        """A look at who announces what."""
        return Announced(self.addresses.zookeeper, self.access)

    def publish(self, name: str) -> bool:
        """Tell the workers what the library says; whether they did not know."""
        library = self.library

        def read() -> dict[str, str]:
            return {alias: str(version) for alias, version in library.aliases(name).items()}

        return publish(self.addresses.zookeeper, name, read, access=self.access)

    def published(self) -> dict[str, dict[str, str]]:
        """What the workers know."""
        return published(self.addresses.zookeeper, access=self.access)

    def place(self, address: str) -> Place:
        """How to deploy to a server: the stack's own one reads a folder of the state."""
        stack = record.load(self.state)
        ours = stack.parts.get("triton")
        if ours is None or stack.given.triton or ours.address != address:
            return Place(address=address)
        repository = self.state / "model_repository"
        return Place(address=address, materialise=partial(_materialise, repository, self.library))


def _materialise(repository: Path, library: Library, _address: str, cards: Sequence[Card]) -> None:
    materialise(repository, library, cards)


def add_model(
    library: Library,
    name: str,
    path: Path,
    *,
    version: int | None,
    backend: str,
    max_batch: int,
    training: str,
    licence: str,
    by: str,
    say: Say,
) -> Card:
    """Store a new version; the shipped version of the model becomes version 1 first."""
    source = read_source(path, runner(), backend, max_batch)
    adopt(library, name, say)
    runtime = RUNTIME if source.backend == "python" else f"Triton's {source.backend} backend"
    return library.add(
        name,
        source.files,
        source.signature,
        backend=source.backend,
        runtime=runtime,
        training=training,
        licence=licence,
        version=version,
        added_by=by,
    )


def verify_model(
    target: Target, card: Card, golden: GoldenSet, server: str, progress: Callable[[int], None]
) -> Verification:
    """Verify on `server`, or on the first that announces the model (else on any that announces something)."""
    address = server or _servers(target, card.name)[0]
    with ModelServer(address) as connection:
        return verify(target.library, card, golden, connection, progress=progress)


def deploy_model(target: Target, card: Card, servers: Sequence[str], timeout: float) -> list[Deployed]:
    """Load a version on servers and wait until each announces it.

    The aliases are published first: from the moment at which a server has two versions, workers must know which one
    is meant.

    Args:
        servers: default: all that announce the model; for a model that is new, all that announce anything.
    """
    target.publish(card.name)
    places = [target.place(address) for address in (servers or _servers(target, card.name))]
    results = deploy(target.library, card, places)
    loaded = [each.address for each in results if not each.error]
    with target.announced() as announced:
        late = wait_announced(card.version, loaded, lambda: announced.endpoints(card.name), timeout)
    said = f"it is ready, and not announced after {timeout:g} s: is its announcer running?"
    return [msgspec.structs.replace(each, error=said) if each.address in late else each for each in results]


def promote_model(
    target: Target, card: Card, *, alias: str, force: bool, warm: bool, by: str, reason: str, say: Say
) -> AliasChange | None:
    """Let the alias name this version, and tell the workers; None when it did already (they are told again).

    An embedding's new version has a space of its own, which is filled from the kept media before `production` moves,
    and again afterwards with what came in meanwhile.

    Args:
        warm: False leaves the space empty: older materials are then not found by this evidence.

    Raises:
        Refused: with every reason.
    """
    library = target.library
    with target.announced() as announced:
        missing = _missing(target, announced, card)
    current = library.target(card.name, alias)
    warming = warm and alias == PRODUCTION and current not in (0, card.version)
    if warming:
        promotion.check(library, card, missing=missing, alias=alias, force=force)
        _warm(target, card, current, say)
    change = promotion.promote(library, card, missing=missing, alias=alias, force=force, by=by, reason=reason)
    target.publish(card.name)
    if warming:
        _warm_rest(target, card, current, say)
    return change


def rollback_model(
    target: Target, name: str, *, alias: str, warm: bool, by: str, reason: str, timeout: float, say: Say
) -> AliasChange:
    """Let the alias name the version before, which is deployed again where it is not served any more. What came in
    since then gets its vectors of that version afterwards: a rollback does not wait.

    Raises:
        SosieError: there is none, or it cannot be served.
    """
    library = target.library
    version = promotion.rollback_target(library, name, alias)
    card = library.card(name, version)
    with target.announced() as announced:
        missing = _missing(target, announced, card)
    if missing:
        say(f"{card.key} is not served any more: loading it")
        failed = [each for each in deploy_model(target, card, missing, timeout) if each.error]
        if failed:
            raise SosieError(f"{name}@{alias} stays: {failed[0].address}: {failed[0].error}")
    current = library.target(name, alias)
    change = library.move(name, version, "rollback", alias=alias, expected=current, by=by, reason=reason)
    target.publish(name)
    if warm and alias == PRODUCTION:
        _warm_rest(target, card, current, say)
    return change


def _warm(target: Target, card: Card, current: int, say: Say) -> int:
    """Fill the space of a version from what there is of `current`; returns how many materials got their vector."""
    from pipeline import warming

    filled = 0
    for done in warming.warm(target.addresses, target.state, card.name, str(card.version), str(current)):
        filled += done.filled
        if done.filled or done.forgotten:
            lost = f", {done.forgotten} without a kept medium" if done.forgotten else ""
            say(f"{done.space}: {done.filled} materials warmed{lost}")
    return filled


def _warm_rest(target: Target, card: Card, current: int, say: Say) -> None:
    """What was under way with the version before when the alias moved: until a pass finds nothing more."""
    for _ in range(_PASSES):
        time.sleep(_UNDER_WAY_S)
        if not _warm(target, card, current, say):
            return


def listing(library: Library, target: Target | None) -> list[dict[str, Any]]:
    """Every version with its aliases, its last verification, and where it is served (None: no system runs)."""
    live = target.published() if target else {}
    rows = []
    for name in library.names():
        aliases = library.aliases(name)
        endpoints: tuple[Endpoint, ...] = ()
        if target:
            with target.announced() as announced:
                endpoints = announced.endpoints(name)
        for version in library.versions(name):
            card = library.card(name, version)
            verifications = library.verifications(name, version)
            rows.append(
                {
                    "name": name,
                    "version": version,
                    "aliases": [alias for alias, each in aliases.items() if each == version],
                    "live": [alias for alias, each in live.get(name, {}).items() if each == str(version)],
                    "card": card,
                    "verification": verifications[-1] if verifications else None,
                    "servers": [each.address for each in endpoints if str(version) in each.versions]
                    if target
                    else None,
                }
            )
    return rows


def _servers(target: Target, name: str) -> list[str]:
    with target.announced() as announced:
        found = [each.address for each in announced.endpoints(name)] or announced.addresses()
    if not found:
        raise UsageError("no model server announces itself", "look with: sosie status, or name one with --server")
    return found


def _missing(target: Target, announced: Announced, card: Card) -> list[str]:
    """Servers that must be given the version before workers are sent to it.

    Looked at again for a moment before that is said: an announcer that is just being restarted announces anew.
    """
    end = time.monotonic() + _SETTLE
    while True:
        endpoints = announced.endpoints(card.name)
        missing = missing_from(card.version, endpoints)
        if (endpoints and not missing) or time.monotonic() >= end:
            return missing if endpoints else [f"any server in ZooKeeper at {target.addresses.zookeeper}"]
        time.sleep(0.1)


__all__ = [
    "PRODUCTION",
    "Target",
    "add_model",
    "deploy_model",
    "library_of",
    "listing",
    "parse_reference",
    "promote_model",
    "rollback_model",
    "verify_model",
]
