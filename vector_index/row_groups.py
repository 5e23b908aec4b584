"""Which stored rows hold one content: a number by row, in memory, read from the log as it is asked for."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

PAGE = 256
"""Rows that are read at once: about a tenth of a millisecond."""
UNKNOWN = -1
NONE = 0

ReadMembers = Callable[[int, int], Iterable[tuple[int, str, str]]]
"""(first row, row after the last) -> (row, policy, content ID), in order of row and policy."""


class RowGroups:
    """Eight bytes a row and policy. The number is the hash of the row's content ID under the policy, or where it has
    none there, of its first one under any; 0 for a row that is in no cluster: it is gone."""

    def __init__(self, read: ReadMembers) -> None:
        self._read = read
        self._pages: dict[str, dict[int, array[int]]] = {}

    def of(self, policy: str, rows: Sequence[int]) -> list[int]:
        """The numbers of rows."""
        found = []
        pages = self._pages.setdefault(policy, {})
        for row in rows:
            number, place = divmod(row, PAGE)
            page = pages.get(number)
            if page is None:
                page = self._load(policy, number)
            group = page[place]
            found.append(group if group != UNKNOWN else self._again(policy, row, page))
        return found

    def set(self, policy: str, row: int, content_id: str) -> None:
        """The row's place under one policy; what it is under others is read again."""
        self.forget(row)
        page = self._pages.get(policy, {}).get(row // PAGE)
        if page is not None:
            page[row % PAGE] = _number(content_id)

    def forget(self, row: int) -> None:
        """Its place changed: read it again."""
        number, place = divmod(row, PAGE)
        for pages in self._pages.values():
            page = pages.get(number)
            if page is not None:
                page[place] = UNKNOWN

    def clear(self) -> None:
        """Read everything again."""
        self._pages.clear()

    def _load(self, policy: str, number: int) -> array[int]:
        page = array("q", bytes(8 * PAGE))
        for row, content_id in self._chosen(policy, number * PAGE, (number + 1) * PAGE).items():
            page[row % PAGE] = _number(content_id)
        self._pages[policy][number] = page
        return page

    def _again(self, policy: str, row: int, page: array[int]) -> int:
        content_id = self._chosen(policy, row, row + 1).get(row)
        page[row % PAGE] = NONE if content_id is None else _number(content_id)
        return page[row % PAGE]

    def _chosen(self, policy: str, first: int, end: int) -> dict[int, str]:
        found: dict[int, str] = {}
        for row, scene, content_id in self._read(first, end):
            if scene == policy or row not in found:
                found[row] = content_id
        return found


def _number(content_id: str) -> int:
    number = hash(content_id)
    return number if number not in (UNKNOWN, NONE) else 1
