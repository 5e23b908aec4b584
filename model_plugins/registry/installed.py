"""Finds plug-ins by name or by dotted path.

A name stands in the entry-point group `sosie.plugins` of some installed distribution; a dotted path is
`package.module:Class`. Loading a plug-in is running its code.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

import structlog

from materials.errors import UsageError
from model_plugins.protocol import Manifest, Plugin

log = structlog.get_logger(__name__)

GROUP = "sosie.plugins"


def load(names: Sequence[str]) -> dict[str, Plugin]:
    """Make each plug-in, in the order given.

    Args:
        names: registered names and dotted paths.

    Returns:
        By the manifest's name, which for a dotted path is not the path.

    Raises:
        UsageError: an unknown name (with the nearest known ones), a name that two distributions claim or that is
            asked for twice, or code that cannot be imported or is not a plug-in.
    """
    known = _by_name(entry_points(group=GROUP))
    plugins: dict[str, Plugin] = {}
    for asked in names:
        if ":" in asked:
            plugin = _instance(asked, asked)
        elif asked in known:
            plugin = _instance(asked, known[asked].value)
            if plugin.manifest.name != asked:
                raise UsageError(
                    f"plug-in {asked!r} ({known[asked].value}) calls itself {plugin.manifest.name!r}",
                    "the entry point and the manifest must have the same name",
                )
        else:
            raise _unknown(asked, known)
        name = plugin.manifest.name
        if name in plugins:
            raise UsageError(f"plug-in {name!r} is there twice", "leave one of the two out, or rename it")
        plugins[name] = plugin
    return plugins


def available() -> list[Manifest]:
    """The manifests of all registered plug-ins that load, by name; each that does not is logged with the reason."""
    manifests = []
    for name in sorted({point.name for point in entry_points(group=GROUP)}):
        try:
            manifests.append(load([name])[name].manifest)
        except UsageError as error:
            log.warning("plugin_unusable", plugin=name, error=str(error))
    return manifests


def _by_name(points: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in points:
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise UsageError(
                f"two plug-ins are called {point.name!r}: {_origin(other)} and {_origin(point)}",
                "uninstall one of the two, or rename it",
            )
    return found


def _origin(point: EntryPoint) -> str:
    return f"{point.value} of {point.dist.name}" if point.dist else point.value


def _unknown(asked: str, known: Iterable[str]) -> UsageError:
    names = sorted(known)
    near = difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    if near:
        remedy = f"did you mean {' or '.join(near)}?"
    else:
        remedy = f"known: {', '.join(names) or 'none'}; or a dotted path, package.module:Class"
    return UsageError(f"unknown plug-in {asked!r}", remedy)


def _instance(asked: str, path: str) -> Plugin:
    module_name, _, class_name = path.partition(":")
    try:
        plugin = getattr(importlib.import_module(module_name), class_name)()
    except Exception as error:  # foreign code: whatever it raises while it is loaded is its fault, and is told
        raise UsageError(f"plug-in {asked!r} cannot be loaded from {path}: {error!r}", "see its module") from error
    if not isinstance(plugin, Plugin) or not isinstance(plugin.manifest, Manifest):
        raise UsageError(
            f"{path} is not a plug-in", "it needs manifest, prepare, interpret and examples: model_plugins/protocol.py"
        )
    return plugin
