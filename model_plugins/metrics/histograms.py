"""Bucketed distributions: bounds, and quantiles out of counts."""

from __future__ import annotations

from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of latency buckets, inclusive; a last bucket holds the rest."""
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Upper bounds of batch sizes."""


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """The value below which `share` of all observations lie, straight within its bucket, as Prometheus computes it.

    Args:
        counts: one for each bound and one for the rest, not cumulative.

    Returns:
        None when there are no observations; the last bound when it lies beyond it.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank = share * total
    below = 0
    for position, bound in enumerate(bounds):
        here = counts[position]
        if here and below + here >= rank:
            start = bounds[position - 1] if position else 0.0
            return start + (bound - start) * max(0.0, rank - below) / here
        below += here
    return bounds[-1]
