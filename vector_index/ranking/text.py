"""`text-containment@1`: are two texts copies of one text? A quadratic logistic model over grams, numbers and names."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate
from vector_index.calibration import platt
from vector_index.calibration.platt import Line
from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.text_pair import FEATURES, TextProfile, pair_features, profile_of

NAME: Final = "text-containment@1"
NEVER: Final = 1e-4
"""Probability for texts that cannot be compared: one of them has no two letters or digits in a row."""


FAINT: Final = 0.2
"""Cosine of two texts' embeddings below which they are not read: they are `NEVER` copies. More than half of what recall
finds lies there; of 99,000 such pairs read for once, and of short texts hidden in long ones, none reached a
probability of 0.05 (docs/benchmarks.md)."""


class TextWeights(msgspec.Struct, frozen=True):
    """The fitted model: `data/text.json`, less its training figures.

    `weights`: by feature, `a`, or by product of two features, `a*b`; absent products weigh nothing.
    """

    weights: dict[str, float]
    bias: float

    @classmethod
    def shipped(cls) -> TextWeights:
        """The weights in the package."""
        stored = json.loads(files("vector_index").joinpath("ranking", "data", "text.json").read_text("utf-8"))
        return cls(weights=stored["weights"], bias=stored["bias"])

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(float64 (14,) for the features, float64 (14, 14) for their products).

        Raises:
            ValueError: a weight is for something that this version does not compute.
        """
        place = {name: i for i, name in enumerate(FEATURES)}
        linear, products = np.zeros(len(FEATURES)), np.zeros((len(FEATURES), len(FEATURES)))
        for term, weight in self.weights.items():
            names = term.split("*")
            if len(names) > 2 or not place.keys() >= set(names):
                raise ValueError(f"text weights are for {term}; the features are {', '.join(FEATURES)}")
            if len(names) == 1:
                linear[place[term]] = weight
            else:
                products[place[names[0]], place[names[1]]] = weight
        return linear, products


class TextContainment:
    """Fine ranker of texts. Symmetric; a number or a place that differs on both sides speaks against a copy.

    Args:
        weights: another fit; default the shipped one.
        line: what makes its scores probabilities; default the shipped one.

    Raises:
        ValueError: the weights are for other features than this version computes.
    """

    name = NAME

    def __init__(self, weights: TextWeights | None = None, line: Line | None = None) -> None:
        weights = weights or TextWeights.shipped()
        self._linear, self._products = weights.arrays()
        self._bias = weights.bias
        self._line = line or platt.shipped().get(NAME, Line())

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        """Score each candidate's text against the query's; relation `same` throughout."""
        profile = profile_of(query.text)
        found = text_recall(recall)
        return [
            Candidate(
                material_id=candidate.material_id,
                content_id=candidate.content_id,
                score=NEVER
                if found.get(candidate.material_id, 1.0) < FAINT
                else self.probability(profile, profile_of(candidate.text)),
                recall_score=found.get(candidate.material_id, 0.0),
                ranker=self.name,
            )
            for candidate in candidates
        ]

    def probability(self, one: TextProfile, other: TextProfile) -> float:
        """Calibrated probability that the two are copies of one text, 0..1."""
        if not one.keys.size or not other.keys.size:
            return NEVER
        features = pair_features(one, other)
        logit = float(features @ self._linear + features @ self._products @ features) + self._bias
        return self._line.probability(1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit)))))


def text_recall(recall: Recall) -> dict[str, float]:
    """Best cosine of each material over the spaces of `text-embedding`."""
    best: dict[str, float] = {}
    for space, hits in recall.hits.items():
        if space.startswith("text-embedding@"):
            for hit in hits:
                best[hit.material_id] = max(hit.score, best.get(hit.material_id, -1.0))
    return best
