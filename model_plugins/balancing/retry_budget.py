"""How many attempts beyond the first the calls may have together, so that retries never multiply an overload."""

from __future__ import annotations

from model_plugins.balancing.protocol import Clock

SHARE = 0.2
PER_SECOND = 5.0
MOST = 100.0


class RetryBudget:
    """A token bucket (Finagle's `RetryBudget`): each call brings `share` of a token, each second `per_second`
    tokens, each retry or hedge takes one. It starts with one second's worth, holds at most `most`, and never owes.

    Args:
        clock: monotonic seconds.
        share: retries per call in the long run.
        per_second: the small minimum, for those that call seldom.
        most: tokens that a quiet time can save up.
    """

    def __init__(self, clock: Clock, share: float = SHARE, per_second: float = PER_SECOND, most: float = MOST) -> None:
        self._clock = clock
        self._share = share
        self._per_second = per_second
        self._most = most
        self._tokens = min(per_second, most)
        self._stamp = clock()

    @property
    def tokens(self) -> float:
        """What is left now."""
        self._refill()
        return self._tokens

    def deposit(self) -> None:
        """A call begins."""
        self._tokens = min(self._most, self._tokens + self._share)

    def withdraw(self) -> bool:
        """Whether one more attempt may be made; it is then paid for."""
        self._refill()
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._stamp) * self._per_second)
        self._stamp = now
