"""From a project folder or a wheel to a record in the registry: build, check, load once in a child, store, sign."""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from materials.errors import UsageError
from model_plugins.hosting.errors import PluginFailed
from model_plugins.hosting.hosted_plugin import HostedPlugin
from model_plugins.hosting.limits import HostLimits, PluginSource
from model_plugins.protocol import Manifest
from model_plugins.registry.admin import PluginAdmin, Registered
from model_plugins.registry.entries import PluginEntry
from model_plugins.registry.signing import SigningKey
from model_plugins.registry.wheel_build import wheel_of
from model_plugins.registry.wheel_store import WheelStore
from model_plugins.registry.wheels import WheelInfo, WheelRefused, missing_requirements, read_wheel, unpack

Check = Callable[[PluginSource, Manifest], Sequence[str]]
"""The conformance check of a plug-in: its complaints. It must run the plug-in's code in a process of its own."""


class Registration(msgspec.Struct, frozen=True):
    """What became of one plug-in of a wheel."""

    entry: PluginEntry
    done: Registered


def register(
    path: Path,
    admin: PluginAdmin,
    store: WheelStore,
    key: SigningKey,
    *,
    by: str,
    now: float,
    check: Check | None = None,
    limits: HostLimits | None = None,
) -> list[Registration]:
    """Register every plug-in of a wheel. The wheel is stored before any record names it.

    Args:
        path: project folder, or wheel.
        admin: connected.
        store: where workers fetch wheels from.
        key: signs the records.
        by: who registers.
        now: epoch seconds.
        check: what each plug-in must pass.
        limits: for loading it.

    Raises:
        UsageError: it is refused, with the reason and what would be right.
    """
    data, file_name = wheel_of(path)
    info = read_wheel(data, file_name)
    for name in info.targets:
        admin.check_name(name)
    missing = missing_requirements(info.requires)
    if missing:
        raise WheelRefused(
            f"{file_name} needs what is not installed here: {', '.join(missing)}",
            "workers install nothing: have it put into their environment, and into this one, first",
        )
    with tempfile.TemporaryDirectory(prefix="sosie-plugin-") as folder:
        tree = Path(folder) / "tree"
        unpack(data, tree)
        manifests = {
            name: _loaded(name, path, PluginSource(target=target, path=str(tree), sha256=info.sha256), check, limits)
            for name, target in info.targets.items()
        }
    entries = [_entry(info, manifest, key, by, now) for manifest in manifests.values()]
    store.put(data, file_name)
    return [Registration(entry, admin.register(entry)) for entry in entries]


def _loaded(name: str, path: Path, source: PluginSource, check: Check | None, limits: HostLimits | None) -> Manifest:
    """The manifest of a plug-in that loads as a worker would load it, and passes the check."""
    manifest = asyncio.run(_manifest(name, path, source, limits or HostLimits()))
    if manifest.name != name:
        raise UsageError(
            f"plug-in {name!r} ({source.target}) calls itself {manifest.name!r}",
            "the entry point and the manifest must have the same name",
        )
    complaints = check(source, manifest) if check else ()
    if complaints:
        raise UsageError(
            f"{manifest.key} does not pass its check: {'; '.join(complaints)}",
            f"sosie plugin check {shlex.quote(str(path))} explains",
        )
    return manifest


async def _manifest(name: str, path: Path, source: PluginSource, limits: HostLimits) -> Manifest:
    plugin = HostedPlugin(source, limits, name=name)
    try:
        return await plugin.ready()
    except PluginFailed as error:
        raise UsageError(str(error), f"sosie plugin check {shlex.quote(str(path))} explains") from error
    finally:
        plugin.close()


def _entry(info: WheelInfo, manifest: Manifest, key: SigningKey, by: str, now: float) -> PluginEntry:
    entry = PluginEntry(
        name=manifest.name,
        version=manifest.version,
        target=info.targets[manifest.name],
        sha256=info.sha256,
        wheel=info.file_name,
        key_id=key.key_id,
        registered_at=now,
        by=by,
        media=manifest.media,
        summary=manifest.summary,
    )
    return msgspec.structs.replace(entry, signature=key.sign(entry.signed_bytes))
