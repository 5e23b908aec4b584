"""How sure a share is that was counted on a sample.

Wilson's score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927;
near its nominal coverage also for shares close to 1 and small samples (Brown, Cai, DasGupta, "Interval estimation for
a binomial proportion", 2001).
"""

from __future__ import annotations

import math
from statistics import NormalDist


def lower_bound(right: int, seen: int, confidence: float) -> float:
    """The share that the true one exceeds with this confidence (one-sided); 0 where nothing was seen.

    With `confidence` 0.5 it is the counted share itself.
    """
    return _bound(right, seen, confidence, -1.0)


def upper_bound(right: int, seen: int, confidence: float) -> float:
    """The share that the true one stays below with this confidence (one-sided); 1 where nothing was seen."""
    return _bound(right, seen, confidence, 1.0)


def _bound(right: int, seen: int, confidence: float, sign: float) -> float:
    if not 0 <= right <= seen or not 0.5 <= confidence < 1:
        raise ValueError(f"{right} of {seen} with confidence {confidence}")
    if seen == 0 or (sign < 0 and right == 0) or (sign > 0 and right == seen):
        return 0.0 if sign < 0 else 1.0
    z = NormalDist().inv_cdf(confidence)
    share, square = right / seen, z * z / seen
    spread = z * math.sqrt(share * (1 - share) / seen + square / (4 * seen))
    return min(1.0, max(0.0, (share + square / 2 + sign * spread) / (1 + square)))


def least_sample(share: float, confidence: float) -> int:
    """How many trials, all of them right, it takes until the lower bound reaches `share` (below 1)."""
    if not 0 <= share < 1:
        raise ValueError(f"no sample shows a share of {share}")
    z = NormalDist().inv_cdf(confidence)
    return max(1, math.ceil(round(z * z * share / (1 - share), 9)))
