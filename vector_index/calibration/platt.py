"""A ranker's score made a probability: a straight line over the score's log-odds, fitted on labelled pairs.

J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods", 1999,
with his smoothed targets; over log-odds, as in Guo et al., "On calibration of modern neural networks", 2017. Two
numbers that keep the order of scores, so that nothing that the ranker tells apart becomes equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files

import msgspec
import numpy as np
from numpy.typing import NDArray

from vector_index.calibration.curve import ScoredPair

EDGE = 1e-6
"""Scores are taken no nearer to 0 and 1: a log-odds of 14."""
STEPS = 100
LEAST_SLOPE = 0.05


class Line(msgspec.Struct, frozen=True):
    """probability = logistic(`slope` x log-odds of the score + `shift`); slope above 0."""

    slope: float = 1.0
    shift: float = 0.0

    def probability(self, score: float) -> float:
        """0..1, growing with the score; 0 stays 0 and 1 stays 1."""
        if not 0 < score < 1:
            return score
        odds = self.slope * (math.log(score) - math.log1p(-score)) + self.shift
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of scores in 0..1, the edges drawn in."""
    inside = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside), np.float64)


def fit_line(pairs: Sequence[ScoredPair]) -> Line:
    """The line of least cross-entropy, by Newton's method with halved steps.

    Raises:
        ValueError: pairs of only one label.
    """
    truth = np.array([pair.same for pair in pairs], bool)
    right, wrong = int(truth.sum()), int((~truth).sum())
    if not right or not wrong:
        raise ValueError("a probability needs pairs of both labels")
    target = np.where(truth, (right + 1) / (right + 2), 1 / (wrong + 2))
    inputs = np.stack([log_odds(np.array([pair.score for pair in pairs])), np.ones(len(pairs))], axis=1)
    line = np.array([1.0, 0.0])
    loss = _loss(inputs @ line, target)
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ line, -60, 60)))
        slope = inputs.T @ (chance - target)
        curvature = inputs.T @ (inputs * (chance * (1 - chance))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while size > 1e-8 and _loss(inputs @ (line - size * step), target) > loss:
            size /= 2
        line = line - size * step
        better = _loss(inputs @ line, target)
        if loss - better < 1e-10 * len(pairs):
            break
        loss = better
    return Line(max(LEAST_SLOPE, float(line[0])), float(line[1]))


def _loss(odds: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0.0, odds) - target * odds))


def shipped() -> Mapping[str, Line]:
    """By ranker's name and version, the lines in the package; a ranker that is not there is taken at its word."""
    stored = json.loads(files("vector_index").joinpath("data", "calibration.json").read_text("utf-8"))
    return msgspec.convert({name: entry["line"] for name, entry in stored.items()}, dict[str, Line])
