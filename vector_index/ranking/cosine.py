"""The plainest ranker: one cosine, squashed. The fall-back where no better ranker can judge, and the tests' oracle."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np

from materials.records import Candidate, Feature
from vector_index.ranking.protocol import Evidence, Recall

VECTOR = "vector"
TIMED = "timed-vectors"


def cosine_of(query: Feature, candidate: Feature) -> float:
    """Cosine of two `vector` features, or for `timed-vectors` the mean of each query frame's best; unit vectors."""
    q, c = query.array(), candidate.array()
    if query.schema == VECTOR:
        return float(q @ c)
    return float((q[:, 1:] @ c[:, 1:].T).max(axis=1).mean())


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
        return [self._compare(query, candidate) for candidate in candidates]

    def _compare(self, query: Evidence, candidate: Evidence) -> Candidate:
        cosines = [
            cosine_of(feature, candidate.features[key])
            for key, feature in query.features.items()
            if feature.schema in (VECTOR, TIMED)
            and key in candidate.features
            and 0 not in (*feature.shape, *candidate.features[key].shape)
        ]
        if not cosines:
            return Candidate(material_id=candidate.material_id, score=0.0, ranker=self.name)
        best = float(np.clip(max(cosines), -1.0, 1.0))
        score = 1.0 / (1.0 + exp(-(best - self._middle) * self._slope))
        return Candidate(material_id=candidate.material_id, score=score, recall_score=best, ranker=self.name)
