"""Which stored rows hold one content: a number by row, in memory, read from the log as it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PAGE = 256
"""Rows that are read at once: about a tenth of a millisecond."""
UNKNOWN = -1
NONE = 0
Numbers = NDArray[np.int64]

ReadMembers = Callable[[int, int], Iterable[tuple[int, str, str]]]
"""(first row, row after the last) -> (row, policy, content ID), in order of row and policy."""


class RowGroups:
    """Eight bytes a row and policy. The number is the hash of the row's content ID under the policy, or where it has
    none there, of its first one under any; 0 for a row that is in no cluster: it is gone."""

    def __init__(self, read: ReadMembers) -> None:
        self._read = read
        self._tables: dict[str, _Table] = {}

    def of(self, policy: str, rows: Sequence[int]) -> list[int]:
        """The numbers of rows."""
        found: list[int] = self.numbers(policy, np.asarray(rows, np.int64)).tolist()
        return found

    def numbers(self, policy: str, rows: Numbers) -> Numbers:
        """The same of an array of any shape; 0 where it holds no row (-1)."""
        table = self._tables.get(policy)
        if table is None:
            table = self._tables[policy] = _Table()
        table.reach(int(rows.max(initial=0)) + 1)
        found: Numbers = np.where(rows >= 0, table.numbers[rows], NONE)
        unknown = found == UNKNOWN
        if unknown.any():
            for row in np.unique(rows[unknown]).tolist():
                self._learn(policy, row, table)
            found = np.where(rows >= 0, table.numbers[rows], NONE)
        return found

    def set(self, policy: str, row: int, content_id: str) -> None:
        """The row's place under one policy; what it is under others is read again."""
        self.forget(row)
        table = self._tables.get(policy)
        if table is not None:
            table.reach(row + 1)
            table.numbers[row] = _number(content_id)

    def forget(self, row: int) -> None:
        """Its place changed: read it again."""
        for table in self._tables.values():
            if row < len(table.numbers):
                table.numbers[row] = UNKNOWN

    def clear(self) -> None:
        """Read everything again."""
        self._tables.clear()

    def _learn(self, policy: str, row: int, table: _Table) -> None:
        """The row's page where that was never read, else the row alone."""
        if table.numbers[row] != UNKNOWN:  # with its page
            return
        page = row // PAGE
        first, end = (row, row + 1) if page in table.read else (page * PAGE, (page + 1) * PAGE)
        table.read.add(page)
        table.reach(end)
        place = table.numbers[first:end]
        chosen = self._chosen(policy, first, end)
        numbers = [_number(chosen[one]) if one in chosen else NONE for one in range(first, end)]
        place[:] = np.where(place == UNKNOWN, numbers, place)

    def _chosen(self, policy: str, first: int, end: int) -> dict[int, str]:
        found: dict[int, str] = {}
        for row, scene, content_id in self._read(first, end):
            if scene == policy or row not in found:
                found[row] = content_id
        return found


class _Table:
    """The numbers of one policy, and the pages that were read."""

    def __init__(self) -> None:
        self.numbers: Numbers = np.full(PAGE, UNKNOWN, np.int64)
        self.read: set[int] = set()

    def reach(self, end: int) -> None:
        """Make room for rows below `end`."""
        have = len(self.numbers)
        if end > have:
            grown = np.full(max(end, have + have // 4 + PAGE), UNKNOWN, np.int64)
            grown[:have] = self.numbers
            self.numbers = grown


def _number(content_id: str) -> int:
    number = hash(content_id)
    return number if number not in (UNKNOWN, NONE) else 1
