"""Recall and scoring of texts, as the fit and the evaluation share them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materials.text import normalise
from model_plugins.features.ngrams import DIMENSIONS, hashed_ngrams


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """float32 (n, 512); a text without an embedding gets zeros, which match nothing."""
    empty = np.zeros(DIMENSIONS, dtype=np.float32)
    vectors = (hashed_ngrams(normalise(text)) for text in texts)
    return np.stack([empty if vector is None else vector for vector in vectors])


def nearest(queries: NDArray[np.float32], references: NDArray[np.float32], k: int) -> list[tuple[int, int, float]]:
    """(query, reference, cosine) of each query's k nearest by exact search; cosines of 0.05 and less are left out."""
    found = []
    for start in range(0, len(queries), 512):
        cosines = queries[start : start + 512] @ references.T
        best = np.argpartition(-cosines, min(k, cosines.shape[1]) - 1, axis=1)[:, :k]
        for row, columns in enumerate(best):
            found += [(start + row, int(c), float(cosines[row, c])) for c in columns if cosines[row, c] > 0.05]
    return found


def average_precision(scores: NDArray[np.float64], truth: NDArray[np.bool_], positives: int) -> tuple[float, float]:
    """(micro-average precision, best recall at a precision of 0.9) over one list of all pairs, ties as one step."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    recall, precision = hits[last] / positives, hits[last] / (last + 1)
    ap = float(np.sum(precision * np.diff(recall, prepend=0.0)))
    return ap, float(np.max(recall[precision >= 0.9], initial=0.0))
