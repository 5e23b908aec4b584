"""Ctrl-C as a wish that a loop looks at, and not as an exception wherever the interpreter happens to be.

An exception that is raised inside a finalizer or a callback of the garbage collector is printed and dropped: py4j has
many of them, and the job would go on as if nobody had asked.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopWish:
    """`asked`: a person has pressed Ctrl-C while this was `listening`."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[StopWish]:
        """Take SIGINT meanwhile, where it would raise KeyboardInterrupt; a second one does raise it."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
            yield self
            return
        signal.signal(signal.SIGINT, self._ask)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True
