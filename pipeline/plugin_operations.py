"""What `sosie plugin` does: the registry in ZooKeeper, the wheels in the library, key and allow list in the state."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from deploy import stack
from deploy.addresses import GivenAddresses
from materials.errors import UsageError
from model_plugins import conformance
from model_plugins.discovery.zookeeper_access import Access
from model_plugins.hosting.limits import PluginSource
from model_plugins.library.store import open_store
from model_plugins.metrics.reading import recent
from model_plugins.metrics.rows import PluginRow
from model_plugins.protocol import Manifest
from model_plugins.registry.acceptance import Acceptance, Refused
from model_plugins.registry.admin import PluginAdmin
from model_plugins.registry.allow import ENVIRONMENT as ALLOW_ENVIRONMENT
from model_plugins.registry.allow import AllowFile
from model_plugins.registry.entries import PluginEntry
from model_plugins.registry.installed import available
from model_plugins.registry.registering import Registration, register
from model_plugins.registry.signing import SigningKey
from model_plugins.registry.wheel_cache import WheelCache
from model_plugins.registry.wheel_store import LibraryWheels
from pipeline.library_location import library_location
from pipeline.person import person

KEY = Path("keys") / "plugins.key"
State = Literal["installed", "accepted", "disabled", "refused", "unreadable"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A plug-in in a list. `origin`: `installed` or `registered`; `reason`: why a worker would not run it. `lately`:
    what the workers did with it in the last minutes, by version; empty where none runs it."""

    name: str
    origin: str
    state: State
    reason: str = ""
    manifest: Manifest | None = None
    entry: PluginEntry | None = None
    lately: tuple[PluginRow, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """One flat record: the manifest's or the entry's fields beside the rest."""
        told: dict[str, Any] = {"name": self.name, "origin": self.origin, "state": self.state, "reason": self.reason}
        told["lately"] = msgspec.to_builtins(self.lately)
        about = self.manifest or self.entry
        return msgspec.to_builtins(about) | told if about is not None else told


class Outcome(msgspec.Struct, frozen=True):
    """What a registration did. `listed_now`: whether this system's allow list has just got the key; `allowed`: whether
    its workers take the plug-ins; `reason`: why not."""

    plugins: tuple[Registration, ...]
    public_key: str
    allow_list: str
    listed_now: bool
    allowed: bool
    reason: str


def quorum(state: Path, given: str) -> str:
    """ZooKeeper: the option, else `SOSIE_ZOOKEEPER`, else the stack that runs on the state folder.

    Raises:
        UsageError: there is none.
    """
    address = GivenAddresses.read(os.environ, zookeeper=given).zookeeper
    if address:
        return address
    found = stack.find(state)
    if found is None:
        raise UsageError(f"no stack runs on {state}", f"sosie up --state {state}, or --zookeeper HOST:PORT")
    return found.zookeeper


def administration(state: Path, given: str) -> PluginAdmin:
    """The registry, with the credentials that `SOSIE_ZOOKEEPER_AUTH_FILE` names; to be used in a `with`."""
    return PluginAdmin(quorum(state, given), Access.find(None, os.environ))


def acceptance(state: Path) -> Acceptance:
    """What this system's workers take."""
    return Acceptance(
        AllowFile.find(state, os.environ),
        LibraryWheels(open_store(library_location(state))),
        WheelCache(state / "cache" / "wheels"),
    )


def register_plugins(
    path: Path, state: Path, zookeeper: str, *, checked: bool = True, elsewhere: bool = False
) -> Outcome:
    """Build, check, store, sign and register. A key that is made here goes on the state's own allow list at once, but
    never on one that somebody has put elsewhere.

    Args:
        path: project folder, or wheel.
        state: the system's folder.
        zookeeper: address; empty: see `quorum`.
        checked: whether the conformance check must pass.
        elsewhere: whether workers with allow lists of their own are meant, so that this system's need not have the key.

    Raises:
        UsageError: workers of this system would refuse it, and drop the version that they run.
    """
    with administration(state, zookeeper) as admin:
        key, is_new = SigningKey.load_or_create(state / KEY)
        by = f"{person()}@{socket.gethostname()}"
        allow = AllowFile.find(state, os.environ)
        listed = is_new and not os.environ.get(ALLOW_ENVIRONMENT)
        if listed:
            allow.add(key.public_text, f"made by {by} at the first registration here")
        allowed = allow.current()
        if not elsewhere and key.key_id not in allowed.keys and not allowed.hashes:
            raise UsageError(
                f"workers of this system would refuse it: the key of {state / KEY} is not on {allow.path}",
                f"put this line there: {key.public_text} (or, for workers elsewhere that have it: --elsewhere)",
            )
        done = register(
            path,
            admin,
            LibraryWheels(open_store(library_location(state))),
            key,
            by=by,
            now=time.time(),
            check=complaints if checked else None,
        )
    reasons = [refusal for each in done if (refusal := allow.current().refusal(each.entry))]
    return Outcome(tuple(done), key.public_text, str(allow.path), listed, not reasons, reasons[0] if reasons else "")


def complaints(source: PluginSource, manifest: Manifest) -> Sequence[str]:
    """What the conformance check finds wrong, in a process of its own; empty when it passes."""
    target = conformance.Target(path=source.target, folders=(source.path,), name=manifest.name)
    report = conformance.supervise(target)
    if report.passed:
        return ()
    found = [f"{each.promise}: {each.happened}" for each in report.failures]
    return found or [f"{each.promise} was not judged" for each in report.results if each.status == "skipped"][:1]


def listing(state: Path, zookeeper: str) -> list[Listed]:
    """Installed plug-ins, and registered ones as this system's workers judge them; the latter are left out where no
    ZooKeeper is known."""
    found = [Listed(name=each.name, origin="installed", state="installed", manifest=each) for each in available()]
    if not zookeeper and not os.environ.get("SOSIE_ZOOKEEPER") and stack.find(state) is None:
        return found
    judge = acceptance(state)
    with administration(state, zookeeper) as admin:
        entries, unreadable = admin.entries()
    found += [_judged(judge, entry) for entry in entries.values()]
    found += [
        Listed(name=name, origin="registered", state="unreadable", reason=reason) for name, reason in unreadable.items()
    ]
    rows = recent(quorum(state, zookeeper)).recent.plugins
    return [
        msgspec.structs.replace(each, lately=tuple(row for row in rows if row.plugin == each.name)) for each in found
    ]


def _judged(judge: Acceptance, entry: PluginEntry) -> Listed:
    try:
        judge.judge(entry)
    except Refused as error:
        state: State = "refused" if entry.enabled else "disabled"
        return Listed(name=entry.name, origin="registered", state=state, reason=error.reason, entry=entry)
    return Listed(name=entry.name, origin="registered", state="accepted", entry=entry)
