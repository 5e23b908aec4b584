"""Stops asking an optional plug-in that only ever fails, so that it costs its job no time."""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 5
"""In a row, before a pause."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Breaker:
    """Closed, open or half open (M. Nygard, Release It!). One call at a time probes after each pause.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE_S
        self._closed_until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused just now."""
        return self._failures >= FAILURES and (self._probing or self._clock() < self._closed_until)

    def allow(self) -> bool:
        """Whether to make the call; one that is allowed is followed by `succeeded`, `failed` or `abandoned`."""
        if self._failures < FAILURES:
            return True
        if self.is_open:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The plug-in works."""
        self._failures = 0
        self._pause = FIRST_PAUSE_S
        self._probing = False

    def abandoned(self) -> None:
        """The call ended without saying anything about the plug-in (bad input, cancellation)."""
        self._probing = False

    def failed(self) -> None:
        """The plug-in failed once more."""
        self._failures += 1
        if self._failures == FAILURES:
            self._closed_until = self._clock() + self._pause
        elif self._failures > FAILURES and self._probing:
            self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)
            self._closed_until = self._clock() + self._pause
        self._probing = False
