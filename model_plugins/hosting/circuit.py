"""When a hosted plug-in is left alone, and when it is tried again."""

from __future__ import annotations

from collections.abc import Callable

from model_plugins.hosting.limits import HostLimits


class Circuit:
    """Closed, open, or half open after a pause that grows (M. Nygard, Release It!, 2nd ed., ch. 5).

    Args:
        limits: how many failures in a row, and how long a pause.
        clock: monotonic seconds.
    """

    def __init__(self, limits: HostLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._pause = limits.pause_s
        self._until: float | None = None
        self.failures = 0
        self.losses = 0

    @property
    def is_closed(self) -> bool:
        """Whether the plug-in is asked as usual."""
        return self._until is None

    @property
    def seconds_left(self) -> float:
        """Of the pause; 0 when a call may probe."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    @property
    def restart_delay(self) -> float:
        """Seconds to wait before the process is started again; `losses` counts those lost in a row."""
        if self.losses < 2:
            return 0.0
        wished = self._limits.restart_backoff_s * 2.0 ** min(self.losses - 2, 30)
        return min(wished, self._limits.max_restart_backoff_s)

    def succeeded(self) -> None:
        """It answered."""
        self.failures = self.losses = 0
        self._until = None
        self._pause = self._limits.pause_s

    def failed(self, *, lost: bool = False, hopeless: bool = False) -> None:
        """It did not.

        Args:
            lost: the process is gone.
            hopeless: no need to count: open at once.
        """
        self.failures += 1
        self.losses += lost
        if self._until is not None:
            if self.seconds_left > 0:  # of a call that began before the pause
                return
            self._pause = min(2 * self._pause, self._limits.max_pause_s)
        elif self.failures < self._limits.failures and not hopeless:
            return
        self._until = self._clock() + self._pause
