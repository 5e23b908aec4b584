"""Rows that an engine does not hold yet: searched exactly, in memory, until it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec
import numpy as np

from vector_index.recall_engines.protocol import Matrix, Rows

FIRST_SLOTS = 256


class Change(msgspec.Struct, frozen=True):
    """A row's latest state. `slot`: where its vector lies, None for a row to be deleted; `version`: rises with every
    change; `replaces`: the engine may hold an older state of the row."""

    version: int
    slot: int | None
    replaces: bool


class RecentRows:
    """Row -> its latest vector, or its deletion. Not thread-safe.

    Vectors lie in one matrix [slots, d] whose free slots are used again, so that a search is one product.
    """

    def __init__(self) -> None:
        self._changes: dict[int, Change] = {}
        self._vectors: Matrix = np.zeros((0, 0), np.float32)
        self._rows: Rows = np.zeros(0, np.int64)  # by slot; -1 is free
        self._free: list[int] = []
        self._used = 0
        self._version = 0

    def __len__(self) -> int:
        """Changes that wait."""
        return len(self._changes)

    @property
    def stored(self) -> int:
        """Of those, rows that have a vector."""
        return self._used - len(self._free)

    def put(self, row: int, vector: Matrix) -> None:
        """This is the row's vector [d] now."""
        earlier = self._changes.pop(row, None)
        slot = None if earlier is None else earlier.slot
        if slot is None:
            slot = self._free.pop() if self._free else self._grown(len(vector))
        self._vectors[slot] = vector
        self._rows[slot] = row
        self._version += 1
        self._changes[row] = Change(self._version, slot, earlier is not None)

    def forget(self, row: int) -> None:
        """The row is gone, here and in the engine."""
        earlier = self._changes.pop(row, None)
        if earlier is not None:
            self._release(earlier)
        self._version += 1
        self._changes[row] = Change(self._version, None, replaces=True)

    def oldest(self, count: int) -> list[tuple[int, Change]]:
        """Up to `count` (row, change), longest waiting first."""
        return list(islice(self._changes.items(), count))

    def vectors(self, changes: Iterable[Change]) -> Matrix:
        """A copy of the vectors [n, d] of those that are no deletions."""
        slots = [change.slot for change in changes if change.slot is not None]
        return np.ascontiguousarray(self._vectors[slots])

    def settle(self, changes: Sequence[tuple[int, Change]]) -> None:
        """The engine has these; a row that changed since stays."""
        for row, change in changes:
            if self._changes.get(row) == change:
                del self._changes[row]
                self._release(change)

    def rows(self) -> frozenset[int]:
        """All that wait, deletions too: what the engine says of them does not count."""
        return frozenset(self._changes)

    def stale(self) -> int:
        """How many of the engine's rows may be shadowed by another state: it is asked for so many hits more."""
        return sum(1 for change in self._changes.values() if change.replaces)

    def search(self, queries: Matrix, k: int) -> tuple[Matrix, Rows]:
        """Exact: scores and rows [n, k'], in no order; k' = min(k, used slots), rows of -1 are none."""
        count = min(k, self._used)
        if not count:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        scores = queries @ self._vectors[: self._used].T
        scores[:, self._rows[: self._used] < 0] = -np.inf
        slots = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        return np.take_along_axis(scores, slots, axis=1), self._rows[slots]

    def _release(self, change: Change) -> None:
        if change.slot is not None:
            self._rows[change.slot] = -1
            self._free.append(change.slot)
            if len(self._free) == self._used:  # all went over: the next search has nothing to multiply
                self._free, self._used = [], 0

    def _grown(self, dim: int) -> int:
        if self._used == len(self._rows):
            slots = max(FIRST_SLOTS, 2 * len(self._rows))
            vectors = np.zeros((slots, dim), np.float32)
            rows = np.full(slots, -1, np.int64)
            if self._used:
                vectors[: self._used], rows[: self._used] = self._vectors[: self._used], self._rows[: self._used]
            self._vectors, self._rows = vectors, rows
        self._used += 1
        return self._used - 1
