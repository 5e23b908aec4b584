"""Rows that were decided between a search ahead and its decision: the search did not see them, the decision must."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from materials.records import Features

RowFeatures = tuple[int, Features]


class Changes:
    """What the decisions of one transaction change, in their order."""

    def __init__(self) -> None:
        self.removed: list[int] = []
        self.added: dict[int, Features] = {}

    def then(self, removed: Sequence[int], added: Mapping[int, Features]) -> None:
        """The next decision's."""
        for row in removed:
            self.added.pop(row, None)
        self.removed.extend(removed)
        for row, features in added.items():
            self.added[row] = {**self.added.get(row, {}), **features}


class LateRows:
    """The rows that were published since the oldest search that still waits for its decision.

    A *mark* is the count of rows that were published when a search began.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: Counter[int] = Counter()
        self._beginning = 0
        self._rows: deque[RowFeatures] = deque()
        self._first = 0
        """The mark of the first of `_rows`."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Around a search that begins: whatever is published meanwhile is kept, since its mark is not known yet."""
        with self._lock:
            self._beginning += 1
        try:
            yield
        finally:
            with self._lock:
                self._beginning -= 1
                self._trim()

    def hold(self, mark: int) -> None:
        """Keep what comes after this mark, until it is released. Inside `held`."""
        with self._lock:
            self._marks[mark] += 1

    def release(self, mark: int) -> None:
        """The search is not waiting any more."""
        with self._lock:
            self._marks[mark] -= 1
            if self._marks[mark] <= 0:
                del self._marks[mark]
            self._trim()

    def published(self, count: int, rows: Sequence[RowFeatures]) -> None:
        """These rows were published; it is `count` of them by now."""
        with self._lock:
            self._first = count - len(rows) if not self._rows else self._first
            self._rows.extend(rows)
            self._trim()

    def since(self, mark: int, more: Mapping[int, Features]) -> list[RowFeatures]:
        """What a search with this mark did not see: rows published since, and those of the open transaction."""
        with self._lock:
            late = list(self._rows)[max(0, mark - self._first) :] if self._rows else []
        return [*late, *more.items()]

    def _trim(self) -> None:
        if self._beginning:
            return
        oldest = min(self._marks, default=None)
        if oldest is None:
            self._rows.clear()
            return
        while self._rows and self._first < oldest:
            self._rows.popleft()
            self._first += 1
