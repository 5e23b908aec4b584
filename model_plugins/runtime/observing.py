"""What running plug-ins tells whoever counts. Called in the event loop, for each plug-in and medium: must not wait."""

from __future__ import annotations

from typing import Literal, Protocol

RunResult = Literal["ok", "nothing", "rejected", "failed"]
"""How a plug-in ends with one medium: a feature, none because it had nothing to say, bad input, or its own failure."""


class RunObserver(Protocol):
    """`model_plugins.metrics.recorder.Recorder` is one."""

    def plugin_ran(self, plugin: str, seconds: float, result: RunResult) -> None:
        """`plugin@version` has ended with one medium after `seconds`, its model's calls included."""
        ...

    def batch_formed(self, model: str, version: str, rows: int, waited: float, queued: int) -> None:
        """See `model_plugins.observing.CallObserver`."""
        ...


class SilentRuns:
    """Nobody counts."""

    def plugin_ran(self, plugin: str, seconds: float, result: RunResult) -> None:
        """Nothing."""

    def batch_formed(self, model: str, version: str, rows: int, waited: float, queued: int) -> None:
        """Nothing."""
