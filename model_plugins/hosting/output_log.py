"""What a hosted plug-in prints goes to the log: in lines, cut, and not too many."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

MAX_LINE = 300
"""Characters of a line that are kept."""
LINES_A_MINUTE = 60
_CHUNK = 64 * 1024


class LineBudget:
    """So many lines in each minute; the rest is counted.

    Args:
        a_minute: lines.
        clock: monotonic seconds.
    """

    def __init__(self, a_minute: int = LINES_A_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._began = clock()
        self._lines = 0
        self._dropped = 0

    def take(self) -> tuple[bool, int]:
        """Whether the next line may be logged, and how many were dropped in the minute before (told once)."""
        told = 0
        if self._clock() - self._began >= 60:
            told, self._dropped = self._dropped, 0
            self._began, self._lines = self._clock(), 0
        self._lines += 1
        if self._lines > self._a_minute:
            self._dropped += 1
            return False, told
        return True, told


def follow(plugin: str, descriptor: int) -> None:
    """Log what comes out of a pipe until its end, in a thread of its own; the descriptor is closed then."""
    threading.Thread(target=_pump, args=(plugin, descriptor), daemon=True, name=f"output-of-{plugin}").start()


def _pump(plugin: str, descriptor: int) -> None:
    budget = LineBudget()
    line = b""
    with open(descriptor, "rb", buffering=0) as pipe:
        while chunk := os.read(pipe.fileno(), _CHUNK):
            *lines, rest = (line + chunk).split(b"\n")
            line = rest[: 4 * MAX_LINE]  # of a line that never ends no more is kept
            for each in lines:
                _tell(plugin, each, budget)
    if line:
        _tell(plugin, line, budget)


def _tell(plugin: str, line: bytes, budget: LineBudget) -> None:
    allowed, dropped = budget.take()
    if dropped:
        log.warning("plugin_output_dropped", plugin=plugin, lines=dropped)
    if allowed:
        log.info("plugin_output", plugin=plugin, line=line[: 4 * MAX_LINE].decode(errors="replace")[:MAX_LINE])
