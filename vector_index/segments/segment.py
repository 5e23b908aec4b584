"""A sealed segment: rows, codes and exact vectors that never change, and marks on the rows that are gone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from vector_index.segments.arrays import Flags, Matrix, Places, Rows, faiss, no_rows
from vector_index.segments.codebook import Codebook
from vector_index.segments.exact import ExactVectors

SLACK = 8
"""Hits asked for beyond k where a segment has removed rows; more are rarely needed."""
Coarse = tuple[Matrix, Places]


class Segment:
    """Searched by any number of threads at once; marks are set by one writer.

    Args:
        codebook: of its codes, None for a flat segment.
        index: FAISS inverted file whose ids are rows; for a flat segment IndexFlatIP whose ids are places.
        rows: int64 [n], strictly ascending; a row's place is where it stands here.
        exact: the vectors by place.
        dead: bool [n], rows that were removed since; owned by this object.
        folder: where its files lie, None while it is in memory only.
    """

    def __init__(
        self,
        codebook: Codebook | None,
        index: Any,
        rows: Rows,
        exact: ExactVectors,
        dead: Flags | None = None,
        folder: Path | None = None,
    ) -> None:
        self.codebook = codebook
        self.index = index
        self.rows = rows
        self.exact = exact
        self.dead: Flags = np.zeros(len(rows), np.bool_) if dead is None else dead
        self.dead_count = int(self.dead.sum())
        self.folder = folder
        self.persisting = threading.Lock()
        self._contiguous = bool(len(rows)) and int(rows[-1]) - int(rows[0]) + 1 == len(rows)
        self._first = int(rows[0]) if len(rows) else 0
        self._selector: tuple[int, Any] = (0, None)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def live(self) -> int:
        """Rows that are not removed."""
        return len(self.rows) - self.dead_count

    def live_rows(self) -> Rows:
        """Rows that are not removed, ascending."""
        return np.asarray(self.rows[~self.dead], np.int64)

    def places(self, rows: Rows) -> Places:
        """Where rows stand, -1 for those that are not here."""
        if not len(self.rows):
            return np.full(rows.shape, -1, np.int64)
        if self._contiguous:
            found = rows - self._first
            return np.where((found >= 0) & (found < len(self.rows)), found, -1)
        found = np.searchsorted(self.rows, rows).clip(0, len(self.rows) - 1)
        return np.where(self.rows[found] == rows, found, -1)

    def kill(self, rows: Rows) -> int:
        """Mark rows as removed; how many of them were here and alive."""
        places = self.places(rows)
        places = places[places >= 0]
        places = places[~self.dead[places]]
        self.dead[places] = True
        self.dead_count += len(places)
        return len(places)

    def mark(self, dead: Flags) -> None:
        """Take over marks, bool [n]."""
        self.dead, self.dead_count = dead, int(dead.sum())

    def adopt(self, mapped: Segment) -> None:
        """Go over to the same content in files; searches that run meanwhile may use either."""
        self.index, self.exact, self.rows = mapped.index, mapped.exact, mapped.rows
        self.folder = mapped.folder

    def search(self, queries: Matrix, k: int, coarse: Coarse | None) -> tuple[Matrix, Places]:
        """Scores by the codes and places [n, k'], best first, of rows that are alive; -1 where there is no more.

        Args:
            coarse: the codebook's cells of the queries; None for a flat segment.
        """
        want = min(k, self.live)
        if want <= 0:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        fetched = min(want + min(self.dead_count, SLACK), len(self.rows))
        scores, places = self._nearest(queries, fetched, coarse)
        if not self.dead_count:
            return scores, places
        gone = (places < 0) | self.dead[places]
        if not gone.any():
            return scores[:, :want], places[:, :want]
        full = places[:, -1] >= 0
        places[gone], scores[gone] = -1, -np.inf
        order = np.argsort(gone, axis=1, kind="stable")[:, :want]
        scores, places = np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)
        short = np.flatnonzero(full & (places[:, -1] < 0))
        if len(short):
            again = self._nearest_alive(queries[short], want)
            scores[short], places[short] = again
        return scores, places

    def _nearest(self, queries: Matrix, k: int, coarse: Coarse | None) -> tuple[Matrix, Places]:
        if coarse is None:
            found: tuple[Matrix, Places] = self.index.search(queries, k)
            return found
        distances, cells = coarse
        scores, rows = self.index.search_preassigned(queries, k, cells, distances)
        return scores, self._placed(rows)

    def _placed(self, rows: Rows) -> Places:
        """As `places`, of what the index answered: -1 stays -1, all else is here."""
        if self._contiguous:
            return np.where(rows >= 0, rows - self._first, -1)
        return np.where(rows >= 0, np.searchsorted(self.rows, rows), -1)

    def _nearest_alive(self, queries: Matrix, k: int) -> tuple[Matrix, Places]:
        """Slower: FAISS itself passes over what is removed."""
        selector = self._alive()
        if self.codebook is None:
            found: tuple[Matrix, Places] = self.index.search(
                queries, k, params=faiss.SearchParameters(sel=selector.outer)
            )
            return found
        parameters = faiss.SearchParametersIVF(nprobe=self.codebook.nprobe, sel=selector.outer)
        scores, rows = self.index.search(queries, k, params=parameters)
        return scores, self._placed(rows)

    def _alive(self) -> _Alive:
        count, selector = self._selector
        if selector is None or count != self.dead_count:
            count = self.dead_count
            gone = np.flatnonzero(self.dead)
            selector = _Alive(gone.astype(np.int64) if self.codebook is None else self.rows[gone])
            self._selector = (count, selector)
        kept: _Alive = selector
        return kept

    def vectors(self) -> Any:
        """Every vector [n, d] by place, in its stored precision."""
        return self.exact.all()


class _Alive:
    """`outer` selects what is not among some ids; this object keeps the inner selector alive."""

    def __init__(self, gone: Rows) -> None:
        self._inner = faiss.IDSelectorBatch(np.ascontiguousarray(gone))
        self.outer = faiss.IDSelectorNot(self._inner)


def all_live_rows(segments: tuple[Segment, ...]) -> Rows:
    """Live rows of several segments, in no order."""
    return np.concatenate([no_rows(), *(segment.live_rows() for segment in segments)])
