"""How a hosted plug-in fails."""

from __future__ import annotations

from typing import Literal

from materials.errors import Permanent

FailureCode = Literal[
    "plugin_raised",  # its code raised
    "plugin_hung",  # over its time limit, and killed
    "plugin_died",  # its process ended, or ran out of memory
    "plugin_garbled",  # it answered what cannot be used
    "plugin_unloadable",  # its code cannot be loaded
    "plugin_suspended",  # it failed too often in a row, and is left alone for a while
    "plugin_stopped",  # it was dropped while the call waited
]


class PluginFailed(Permanent):
    """A plug-in failed on this call; the material's other features are none the worse.

    Args:
        code: stable, for machines.
        plugin: name of the plug-in.
        sentence: what happened, for people; it follows the plug-in's name.
    """

    def __init__(self, code: FailureCode, plugin: str, sentence: str) -> None:
        super().__init__(code, plugin, sentence)
        self.code = code
        self.plugin = plugin
        self.sentence = sentence

    def __str__(self) -> str:
        return f"plug-in {self.plugin} {self.sentence}"
