"""The active segment: the one that takes writes. Flat, or coded by a codebook."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vector_index.segments.arrays import Matrix, Rows, faiss
from vector_index.segments.codebook import Codebook
from vector_index.segments.exact import FULL, HALF, InMemory, dots
from vector_index.segments.rwlock import ReadWriteLock
from vector_index.segments.segment import Coarse, Segment

FIRST_CAPACITY = 256


class Active:
    """Rows and vectors in memory. Searches of other threads wait for an `add`, and for nothing else."""

    def __init__(self, dim: int, codebook: Codebook | None) -> None:
        self.codebook = codebook
        self.dim = dim
        self._lock = ReadWriteLock()
        self._slots: dict[int, int] = {}
        self._used = 0
        self._exact: NDArray[Any] = np.empty((0, dim), FULL if codebook is None else HALF)
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dim)) if codebook is None else codebook.empty()

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, row: int) -> bool:
        return row in self._slots

    def add(self, rows: Rows, vectors: Matrix) -> None:
        """Store vectors [n, d] under rows that are not here."""
        cells = None if self.codebook is None else self.codebook.nearest(vectors)
        with self._lock.write():
            end = self._used + len(rows)
            if end > len(self._exact):
                grown = np.empty((max(FIRST_CAPACITY, end, 2 * len(self._exact)), self.dim), self._exact.dtype)
                grown[: self._used] = self._exact[: self._used]
                self._exact = grown
            self._exact[self._used : end] = vectors
            if cells is None:
                self._index.add_with_ids(vectors, rows)
            else:
                _add_to_cells(self._index, vectors, rows, cells)
            self._slots.update(zip(rows.tolist(), range(self._used, end), strict=True))
            self._used = end

    def remove(self, rows: Rows) -> int:
        """Forget rows; how many of them were here."""
        here = [row for row in rows.tolist() if row in self._slots]
        if here:
            with self._lock.write():
                for row in here:
                    del self._slots[row]
                self._index.remove_ids(faiss.IDSelectorBatch(np.asarray(here, np.int64)))
        return len(here)

    def search(self, queries: Matrix, k: int, coarse: Coarse | None) -> tuple[Matrix, Rows]:
        """Scores by the codes (exact ones of a flat segment) and rows [n, k'], best first, -1 for no row."""
        with self._lock.read():
            count = min(k, len(self._slots))
            if not count:
                return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
            found: tuple[Matrix, Rows]
            if coarse is None:
                found = self._index.search(queries, count)
            else:
                distances, cells = coarse
                found = self._index.search_preassigned(queries, count, cells, distances)
        return found

    def exact(self, rows: Rows, queries: Matrix) -> NDArray[np.float32]:
        """Exact scores [n] of rows that a search found, each with its query [n, d]; NaN for one that was removed since.

        Needs no lock: a slot is never used again, and a grown array holds what the former one held.
        """
        slots = self._slots
        places = np.array([slots.get(row, -1) for row in rows.tolist()], np.int64)
        scores = dots(self._exact[places].astype(np.float32), queries)
        scores[places < 0] = np.nan
        return scores

    def rows(self) -> Rows:
        """All rows, in no order."""
        return np.fromiter(self._slots, np.int64, len(self._slots))

    def content(self) -> tuple[Rows, NDArray[Any]]:
        """Rows, ascending, and a copy of their vectors [n, d]: float32 of a flat one, else float16."""
        rows = self.rows()
        order = np.argsort(rows, kind="stable")
        slots = np.fromiter(self._slots.values(), np.int64, len(rows))
        return rows[order], self._exact[slots[order]]

    def sealed(self) -> Segment:
        """The same as a segment that never changes. Nothing may be added or removed here from now on."""
        rows, vectors = self.content()
        index = self._index
        if self.codebook is None:
            index = faiss.IndexFlatIP(self.dim)  # in the order of the rows, so that its ids are places
            index.add(vectors)
        return Segment(self.codebook, index, rows, InMemory(vectors))


def _add_to_cells(index: Any, vectors: Matrix, rows: Rows, cells: Rows) -> None:
    """Add with the coarse search done already, so that readers wait for the copying of codes alone."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    rows, cells = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(cells, np.int64)
    index.add_core(len(rows), faiss.swig_ptr(vectors), faiss.swig_ptr(rows), faiss.swig_ptr(cells))
