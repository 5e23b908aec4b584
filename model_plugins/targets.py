"""Where a plug-in's code is, told without running any of it."""

from __future__ import annotations

from importlib.metadata import entry_points

GROUP = "sosie.plugins"
_OURS = "model_plugins.builtin."


def target_of(name: str) -> str:
    """`package.module:Class` of an installed plug-in's name, or of a dotted path, which is one; "" when unknown."""
    if ":" in name:
        return name
    return next((point.value for point in entry_points(group=GROUP) if point.name == name), "")


def is_built_in(target: str) -> bool:
    """Whether the code is this distribution's own, and may run in the worker itself."""
    return target.startswith(_OURS)
