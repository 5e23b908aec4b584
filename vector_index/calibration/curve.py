"""Precision and recall of thresholds over labelled pairs, and the threshold that a wanted precision asks for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from materials.errors import UsageError
from vector_index.calibration.bounds import least_sample, lower_bound, upper_bound

LEAST_DIFFERENT = 10
"""Pairs of different content below which a precision says nothing of what the ranker confuses."""


class ScoredPair(msgspec.Struct, frozen=True):
    """A labelled pair as the ranker judged it. `score`: 0..1, 0 for a pair that recall never compared."""

    score: float
    same: bool


class Point(msgspec.Struct, frozen=True):
    """What the pairs with `threshold` or more are worth.

    `precision_low`, `recall_low`, `recall_high`: one-sided bounds at the curve's confidence.
    """

    threshold: float
    precision: float
    precision_low: float
    recall: float
    recall_low: float
    recall_high: float
    right: int
    wrong: int


class Curve(msgspec.Struct, frozen=True):
    """One point for each distinct score, from the highest down. `same`, `different`: pairs of each label."""

    points: tuple[Point, ...]
    same: int
    different: int
    confidence: float

    def at(self, threshold: float) -> Point:
        """What a threshold is worth: the last point whose score reaches it."""
        reached = [point for point in self.points if point.threshold >= threshold]
        if reached:
            return msgspec.structs.replace(reached[-1], threshold=threshold)
        return Point(threshold, 1.0, 0.0, 0.0, 0.0, upper_bound(0, self.same, self.confidence), 0, 0)


def curve(pairs: Sequence[ScoredPair], confidence: float = 0.95) -> Curve:
    """The curve over all pairs; equal scores are one point.

    Raises:
        ValueError: a score outside 0..1, or a confidence outside 0.5..1.
    """
    if any(not 0 <= pair.score <= 1 for pair in pairs):
        raise ValueError("a score lies outside 0..1")
    same = sum(pair.same for pair in pairs)
    points: list[Point] = []
    right = wrong = 0
    for score, tied in groupby(sorted(pairs, key=lambda pair: -pair.score), key=lambda pair: pair.score):
        labels = [pair.same for pair in tied]
        right += sum(labels)
        wrong += len(labels) - sum(labels)
        if score > 0:
            points.append(_point(score, right, wrong, same, confidence))
    return Curve(tuple(points), same, len(pairs) - same, confidence)


def _point(score: float, right: int, wrong: int, same: int, confidence: float) -> Point:
    return Point(
        threshold=score,
        precision=right / (right + wrong),
        precision_low=lower_bound(right, right + wrong, confidence),
        recall=right / same if same else 0.0,
        recall_low=lower_bound(right, same, confidence),
        recall_high=upper_bound(right, same, confidence),
        right=right,
        wrong=wrong,
    )


def threshold_for(found: Curve, precision: float) -> Point:
    """The lowest threshold whose precision is at least the wanted one, with the curve's confidence.

    It lies half-way between the lowest score that it takes and the next one below, so that it is no pair's own score.

    Raises:
        UsageError: too few pairs to tell, or no threshold is that precise.
    """
    least = least_sample(precision, found.confidence)
    if found.same < least or found.different < LEAST_DIFFERENT:
        raise UsageError(
            f"{found.same} pairs of same and {found.different} of different content are too few for a precision of "
            f"{precision:g} with {found.confidence:.0%} confidence",
            f"label at least {least} same and {LEAST_DIFFERENT} different pairs, or ask for less",
        )
    good = [n for n, point in enumerate(found.points) if point.precision_low >= precision]
    if not good:
        best = max(found.points, key=lambda point: point.precision_low, default=None)
        told = "no pair was compared" if best is None else f"the best is {best.precision:.3f} at {best.threshold:.3f}"
        raise UsageError(
            f"no threshold has a precision of {precision:g} with {found.confidence:.0%} confidence; {told}",
            "label more pairs, or ask for a lower --precision or --confidence",
        )
    chosen = found.points[good[-1]]
    below = found.points[good[-1] + 1].threshold if good[-1] + 1 < len(found.points) else 0.0
    return msgspec.structs.replace(chosen, threshold=(chosen.threshold + below) / 2)
