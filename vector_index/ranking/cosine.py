"""The plainest ranker: one cosine, squashed. The fall-back where no better ranker can judge, and the tests' oracle."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate, Feature
from vector_index.ranking.protocol import Evidence, Recall

VECTOR = "vector"
TIMED = "timed-vectors"
NOTHING = -2.0
"""Below every cosine: no embedding in common."""


def cosines(query: Feature, candidates: Sequence[Feature]) -> NDArray[np.float32]:
    """Cosine [n] with `vector` features, or for `timed-vectors` the mean of each query frame's best; unit vectors."""
    if query.schema == VECTOR:
        return np.asarray(np.stack([candidate.array() for candidate in candidates]) @ query.array(), np.float32)
    frames = query.array()[:, 1:]
    return np.array([(frames @ c.array()[:, 1:].T).max(axis=1).mean() for c in candidates], np.float32)


class CosineRanker:
    """Score = logistic((best cosine over the shared embeddings - `middle`) * `slope`), relation always `same`.

    Args:
        middle: cosine at which the score is 0.5.
        slope: steepness; 20 turns 0.05 of cosine into about e.
    """

    name = "cosine@1"

    def __init__(self, middle: float = 0.85, slope: float = 20.0) -> None:
        self._middle = middle
        self._slope = slope

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:  # noqa: ARG002
        """One candidate each; nothing in common scores 0."""
        best = np.full(len(candidates), NOTHING, np.float32)
        for key, feature in query.features.items():
            if feature.schema not in (VECTOR, TIMED) or not feature.data:
                continue
            at = [
                i
                for i, other in enumerate(candidates)
                if key in other.features and _comparable(feature, other.features[key])
            ]
            if at:
                best[at] = np.maximum(best[at], cosines(feature, [candidates[i].features[key] for i in at]))
        return [self._judge(other, cosine) for other, cosine in zip(candidates, best.tolist(), strict=True)]

    def _judge(self, candidate: Evidence, cosine: float) -> Candidate:
        if cosine == NOTHING:
            return Candidate(material_id=candidate.material_id, score=0.0, ranker=self.name)
        cosine = max(-1.0, min(1.0, cosine))
        score = 1.0 / (1.0 + exp(-(cosine - self._middle) * self._slope))
        return Candidate(material_id=candidate.material_id, score=score, recall_score=cosine, ranker=self.name)


def _comparable(one: Feature, other: Feature) -> bool:
    return one.schema == other.schema and one.shape[-1] == other.shape[-1] and bool(other.data)
