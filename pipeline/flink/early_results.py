"""Lets results leave a Python worker while their bundle still waits for others.

PyFlink keeps what an operator has put out until the bundle ends, or until a second is over; an asynchronous bundle ends
with its slowest record. The JVM takes results whenever they come. So the stream of an operator is told to flush.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pyflink.fn_execution.utils.operation_utils import PeriodicThread

FLUSHES_PER_S = 100.0
AT_ONCE = 16.0
"""A flush is a message to the JVM, of 0.1 to 0.2 ms on both sides. Whoever puts out more is busy, and then the next
flush takes along what the last ones left."""


class EarlyResults:
    """Belongs to one operator; call it from the thread that puts the results out.

    Args:
        clock: seconds.
        find: the streams' flushers, see `flushers`; asked once.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        find: Callable[[], list[Callable[[], None]]] | None = None,
    ) -> None:
        self._clock = clock
        self._find = find or flushers
        self._flushers: list[Callable[[], None]] | None = None
        self._left = AT_ONCE
        self._at = clock()

    def leave(self) -> None:
        """What is put out next leaves at once, with all that was put out before; unless that was just done often."""
        now = self._clock()
        self._left = min(AT_ONCE, self._left + (now - self._at) * FLUSHES_PER_S)
        self._at = now
        if self._left < 1.0:
            return
        self._left -= 1.0
        if self._flushers is None:
            self._flushers = self._find()
        for flush in self._flushers:
            flush()


def flushers() -> list[Callable[[], None]]:
    """How to tell each output stream of this process to flush with its next element: what PyFlink's own timer of one
    second calls. Streams of other operators may be among them, which costs a message and changes nothing."""
    timers = [thread for thread in threading.enumerate() if isinstance(thread, PeriodicThread)]
    return [timer._function for timer in timers if getattr(timer._function, "__name__", "") == "notify_flush"]
