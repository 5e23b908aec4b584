"""Unit vectors under inner product: exact while small, IVF with 8-bit codes beyond; nothing but speed shows it.

Not safe against an `add` during a `search` (FAISS is not): the engine holds its lock over both. `nprobe` is passed with
each search, since as a field it would be shared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from vector_index.crash_points import reached

faiss: Any = _faiss
"""Its stubs lack half of what SWIG makes."""
Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]

FLAT_LIMIT = 20_000
"""Vectors up to which search is exact."""
POINTS_PER_CELL = 39
"""FAISS asks for at least 39 training points a cell, below which it warns (32 measured enough)."""
MAX_CELLS = 4096
REGROW = 8
"""Cells are made anew when the space is this many times larger than when they were trained."""
NPROBE = int(os.environ.get("SOSIE_INDEX_NPROBE", "64"))
TRAINING_ROUNDS = 6
_FLOAT32 = np.dtype("<f4")


class VectorStore:
    """int64 row -> float32 vector, searched by inner product. Rows are unique by the caller's care."""

    def __init__(self, flat_limit: int = FLAT_LIMIT) -> None:
        self._flat_limit = flat_limit
        self._index: Any = None
        self._trained_at = 0

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    @property
    def dim(self) -> int | None:
        """Dimensions, None while nothing was ever stored."""
        return None if self._index is None else int(self._index.d)

    @property
    def exact(self) -> bool:
        """True while search is exhaustive."""
        return self._trained_at == 0

    def add(self, rows: Rows, vectors: Matrix) -> None:
        """Store vectors [n, d].

        Raises:
            ValueError: another dimension than the first vector had.
        """
        if not len(rows):
            return
        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
        if vectors.shape[1] != self._index.d:
            raise ValueError(f"vectors of {vectors.shape[1]} dimensions in a space of {self._index.d}")
        self._index.add_with_ids(vectors, rows)
        if len(self) > self._flat_limit and len(self) >= self._trained_at * REGROW:
            self._train()

    def remove(self, rows: Rows) -> None:
        """Forget rows; unknown ones are ignored."""
        if len(self) and len(rows):
            # The hashtable map of IVF takes this selector and no other.
            self._index.remove_ids(faiss.IDSelectorArray(rows) if not self.exact else faiss.IDSelectorBatch(rows))

    def search(self, queries: Matrix, k: int) -> tuple[Matrix, Rows]:
        """Scores and rows [n, k'], best first; -1 where there is no more. k' <= k."""
        count = min(k, len(self))
        if not count or not len(queries):
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        if self.exact:
            scores, rows = self._index.search(queries, count)
        else:
            probes = faiss.SearchParametersIVF(nprobe=min(NPROBE, self._index.nlist))
            scores, rows = self._index.search(queries, count, params=probes)
        return scores, rows

    def rows(self) -> Rows:
        """All stored rows, in no order."""
        if self._index is None:
            return np.zeros(0, np.int64)
        if self.exact:
            return np.asarray(faiss.vector_to_array(self._index.id_map), np.int64)
        lists = self._index.invlists
        ids = [faiss.rev_swig_ptr(lists.get_ids(i), lists.list_size(i)).copy() for i in range(self._index.nlist)]
        rows: Rows = np.concatenate(ids).astype(np.int64)
        return rows

    def save(self, path: Path) -> None:
        """One file in FAISS's format; empty for an empty store."""
        if self._index is None:
            path.write_bytes(b"")
        else:
            faiss.write_index(self._index, str(path))

    def load(self, path: Path) -> None:
        """Replace the content by a saved one."""
        self._trained_at = 0
        self._index = None
        if path.stat().st_size:
            self._index = faiss.read_index(str(path))
            if isinstance(self._index, faiss.IndexIVF):
                # cells = trained points / POINTS_PER_CELL up to the cap, so this is when they were trained, or less
                self._trained_at = max(1, self._index.nlist * POINTS_PER_CELL)

    def _train(self) -> None:
        """Move everything into fresh cells. Vectors of a trained store come back from their 8-bit codes."""
        reached("seal-begin")
        count = len(self)
        cells = max(1, min(MAX_CELLS, count // POINTS_PER_CELL))
        rows = self.rows()
        vectors = self._vectors(rows)
        quantizer = faiss.IndexFlatIP(self._index.d)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, self._index.d, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        )
        index.own_fields = True
        quantizer.this.disown()
        index.cp.niter = TRAINING_ROUNDS
        index.cp.max_points_per_centroid = POINTS_PER_CELL
        index.train(vectors)
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        index.add_with_ids(vectors, rows)
        reached("seal-swap")
        self._index, self._trained_at = index, count

    def _vectors(self, rows: Rows) -> Matrix:
        if self.exact:
            flat = faiss.downcast_index(self._index.index)
            stored = faiss.rev_swig_ptr(flat.get_xb(), len(rows) * flat.d)
            return np.array(stored, dtype=np.float32).reshape((len(rows), flat.d))
        decoded: Matrix = self._index.reconstruct_batch(rows)
        return decoded


def stack(features: Sequence[Feature]) -> Matrix:
    """`vector` features -> float32 [n, d], C order."""
    first = features[0]
    if all(feature.dtype == "float32" and feature.shape == first.shape for feature in features):
        # their bytes side by side are the matrix: an array for each would cost more than the search of a small space
        joined = bytearray().join([feature.data for feature in features])
        return np.frombuffer(joined, _FLOAT32).reshape((len(features), *first.shape))
    stacked: Matrix = np.stack([feature.array() for feature in features]).astype(np.float32, copy=False)
    return stacked


def _best_then_oldest(hit: tuple[int, float]) -> tuple[float, int]:
    return -hit[1], hit[0]


class DenseSpace:
    """Recall over `vector` features (float32 [d], unit norm): cosine."""

    def __init__(self, flat_limit: int = FLAT_LIMIT) -> None:
        self._store = VectorStore(flat_limit)

    def __len__(self) -> int:
        return len(self._store)

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make the features searchable."""
        if rows:
            self._store.add(np.asarray(rows, np.int64), stack(features))

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        self._store.remove(np.asarray(rows, np.int64))

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """Up to k (row, cosine) a query, best first, of equals the lowest row."""
        if not queries:
            return []
        scores, rows = self._store.search(stack(queries), k)
        found = [
            [(row, score) for row, score in zip(row_list, score_list, strict=True) if row >= 0]
            for row_list, score_list in zip(rows.tolist(), scores.tolist(), strict=True)
        ]
        if (scores[:, 1:] == scores[:, :-1]).any():  # FAISS orders equals as it meets them
            for hits in found:
                hits.sort(key=_best_then_oldest)
        return found

    def pairwise(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """Similarity [n, n] of features that are not stored yet: the copies within one batch."""
        matrix = stack(features)
        return np.asarray(matrix @ matrix.T, np.float32)

    def save(self, path: Path) -> None:
        """Write a snapshot file."""
        self._store.save(path)

    def load(self, path: Path) -> None:
        """Replace the content by a snapshot's."""
        self._store.load(path)
