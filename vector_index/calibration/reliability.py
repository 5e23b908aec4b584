"""Whether probabilities come true: of the pairs that were called 0.8, four of five should be of same content.

Reliability diagrams and the expected calibration error: A. Niculescu-Mizil, R. Caruana, "Predicting good probabilities
with supervised learning", 2005; Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
binning", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vector_index.calibration.bounds import lower_bound, upper_bound
from vector_index.calibration.curve import ScoredPair

BINS = 10
CONFIDENCE = 0.95


class Bin(msgspec.Struct, frozen=True):
    """Pairs whose scores lie in [low, high): `said` on the mean, and `true` of them, within `true_low`..`true_high`."""

    low: float
    high: float
    pairs: int
    said: float
    true: float
    true_low: float
    true_high: float


class Reliability(msgspec.Struct, frozen=True):
    """The bins that hold pairs, and the mean distance between said and true, weighted by pairs."""

    bins: tuple[Bin, ...]
    expected_error: float


def reliability(pairs: Sequence[ScoredPair]) -> Reliability:
    """Of scores in 0..1; no pairs, no error."""
    held: list[list[ScoredPair]] = [[] for _ in range(BINS)]
    for pair in pairs:
        held[min(int(pair.score * BINS), BINS - 1)].append(pair)
    bins = tuple(_bin(number, inside) for number, inside in enumerate(held) if inside)
    total = max(1, len(pairs))
    return Reliability(bins, sum(one.pairs * abs(one.said - one.true) for one in bins) / total)


def _bin(number: int, inside: Sequence[ScoredPair]) -> Bin:
    count, same = len(inside), sum(pair.same for pair in inside)
    return Bin(
        number / BINS,
        (number + 1) / BINS,
        count,
        sum(pair.score for pair in inside) / count,
        same / count,
        lower_bound(same, count, CONFIDENCE),
        upper_bound(same, count, CONFIDENCE),
    )
