"""Named moments at which a crash would hurt most, so that the kill tests can put one exactly there.

In production `reached` does nothing: nobody installs a hook, and no option or environment variable can. The kill tests
start the same service through a small program of their own, which hands its hook in first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

Point = Literal[
    "before-log",  # a batch is decided or about to be; nothing is written
    "in-log",  # written, not committed
    "after-log",  # committed and durable, the spaces do not know it yet
    "before-answer",  # searchable, the caller does not know it yet
    "snapshot-begin",
    "snapshot-space",  # one space's file is written, others are not
    "snapshot-rename",  # all written and synced, not yet in its place
    "snapshot-drop",  # in its place, older ones not yet dropped
    "seal-begin",  # an active segment is about to be rebuilt as a trained one
    "seal-swap",  # the trained one is ready, searches still use the old
    "compaction",  # dead entries are about to be swept
    "restore",  # at start: the snapshot is loaded, the log not yet replayed
    "restore-rows",  # at start: some rows of the log are replayed
    "migration",  # a step to a newer format is done, not committed
]
POINTS: tuple[Point, ...] = get_args(Point)

_hook: Callable[[Point], None] | None = None


def reached(point: Point) -> None:
    """Tell the tests' hook, if there is one. Costs a comparison."""
    if _hook is not None:
        _hook(point)


def install(hook: Callable[[Point], None] | None) -> None:
    """For tests, in the process that is to die: called at every point, from whichever thread passes it."""
    global _hook  # noqa: PLW0603  one hook a process, set before the service starts
    _hook = hook
