"""Latency quantiles of each endpoint and model: when an attempt has taken too long, and when to hedge."""

from __future__ import annotations

import bisect
import itertools
import math

_SMALLEST_S = 1e-4
_STEP = math.log(1.1)
"""Buckets grow by 10 %: that is how wrong a quantile can be."""
_BUCKETS = 180
_FORGET_AFTER = 1024
"""Samples after which all counts are halved: the recent thousand decides."""
_STALE_AFTER = 16
"""Samples after which a cached quantile is computed again."""


class Latencies:
    """A decaying histogram with logarithmic buckets, 0.1 ms to 45 min."""

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._total = 0.0
        self._seen = 0
        self._cached: dict[float, tuple[int, float]] = {}

    @property
    def count(self) -> int:
        """Samples ever."""
        return self._seen

    def add(self, seconds: float) -> None:
        """One sample."""
        place = int(math.log(seconds / _SMALLEST_S) / _STEP) + 1 if seconds > _SMALLEST_S else 0
        self._counts[min(place, _BUCKETS - 1)] += 1.0
        self._total += 1.0
        self._seen += 1
        if self._total >= _FORGET_AFTER:
            self._counts = [each / 2 for each in self._counts]
            self._total /= 2

    def quantile(self, share: float) -> float:
        """The upper edge of the bucket that holds this quantile, seconds; as of at most 16 samples ago.

        Raises:
            ValueError: there is no sample.
        """
        if not self._seen:
            raise ValueError("no latency was seen yet")
        cached = self._cached.get(share)
        if cached is not None and self._seen - cached[0] < _STALE_AFTER:
            return cached[1]
        below = list(itertools.accumulate(self._counts))
        place = min(bisect.bisect_left(below, max(share * below[-1], 1e-9)), _BUCKETS - 1)
        value = _SMALLEST_S * math.exp(place * _STEP)
        self._cached[share] = (self._seen, value)
        return value
