"""What running plug-ins tells whoever counts. Called in the event loop, for each plug-in and medium: must not wait."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from model_plugins.protocol import ModelRef

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


class CallTracer(Protocol):
    """Follows the rows of single media into the batches that they share with others. Must not wait or raise."""

    def asked(self, plugin: str, model: ModelRef) -> object:
        """Called in the medium's own context: a plug-in's rows join the queue. What it gives goes with them."""
        ...

    def batch(self, rows: int, tokens: Sequence[object]) -> AbstractContextManager[None]:
        """Around the call of a batch of `rows`, in the batch's own task. `tokens`: what `asked` gave, of all rows."""
        ...

    def answered(self, token: object) -> None:
        """In the medium's context again: its rows are back, or will not come."""
        ...
