"""Recall over unit vectors: a `Space` over features of schema `vector`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from materials.records import Feature
from vector_index.segments.arrays import Matrix, Rows
from vector_index.segments.saving import Frozen
from vector_index.segments.settings import SegmentSettings
from vector_index.segments.store import SegmentedStore

_FLOAT32 = np.dtype("<f4")


def stack(features: Sequence[Feature]) -> Matrix:
    """`vector` features -> float32 [n, d], C order."""
    first = features[0]
    if all(feature.dtype == "float32" and feature.shape == first.shape for feature in features):
        # their bytes side by side are the matrix: an array for each would cost more than the search of a small space
        joined = bytearray().join([feature.data for feature in features])
        return np.frombuffer(joined, _FLOAT32).reshape((len(features), *first.shape))
    stacked: Matrix = np.stack([feature.array() for feature in features]).astype(np.float32, copy=False)
    return stacked


class DenseSpace:
    """Recall over `vector` features (float32 [d], unit norm): cosine."""

    def __init__(self, home: Path | None = None, settings: SegmentSettings | None = None) -> None:
        self.store = SegmentedStore(home, settings)

    def __len__(self) -> int:
        return len(self.store)

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make the features searchable; a row that is here already is replaced."""
        if rows:
            self.store.add(np.asarray(rows, np.int64), stack(features))

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        self.store.remove(np.asarray(rows, np.int64))

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """Up to k (row, cosine) a query, best first, of equals the lowest row."""
        scores, rows = self.nearest(queries, k)
        return [
            [(row, score) for row, score in zip(row_list, score_list, strict=True) if row >= 0]
            for row_list, score_list in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def nearest(self, queries: Sequence[Feature], k: int, precise: int = 0) -> tuple[Matrix, Rows]:
        """The same as arrays: cosines and rows [n, k'], k' <= k; -1 and -inf where there is no more. `precise`: the
        first so many are as exact as they are stored, the others may be off by about 0.001; 0: all are."""
        if not queries:
            return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int64)
        scores, rows = self.store.search(stack(queries), k, precise)
        if (scores[:, 1:] == scores[:, :-1]).any():  # FAISS orders equals as it meets them
            order = np.lexsort((rows, -scores), axis=1)
            scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
        return scores, rows

    def frozen(self) -> Frozen:
        """What there is now, for a snapshot."""
        return self.store.frozen()

    def load(self, folder: Path) -> None:
        """Replace the content by a snapshot's."""
        self.store.load(folder)

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until the background has nothing to do; False after `timeout` seconds."""
        return self.store.settle(timeout)

    def close(self) -> None:
        """End the background."""
        self.store.close()
