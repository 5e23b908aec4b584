"""What recall needs to know of a stored row, in memory: read a page of rows at a time, and kept small."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import msgspec

from materials.records import KINDS, Kind

PAGE = 256
"""Rows that are read at once: about half a millisecond, after which each costs a microsecond."""
PAGED_ROWS = 10_000_000
"""Beyond so many rows the pages would not fit (about 60 bytes a row and policy), and rows are read one by one."""
KEPT = 20_000
"""Places that are kept as objects: what was placed last (about 400 bytes each)."""
_OWN, _EXEMPLAR, _LIVE = 4, 8, 16
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}


class RowInfo(msgspec.Struct, frozen=True, gc=False):
    """What recall needs to know of a row. `content_id` is the policy's own, "" where it has none there; `group` is
    that or any other policy's: it tells distinct contents apart. `exemplar`: newcomers may join through it."""

    material_id: str
    kind: Kind
    content_id: str
    group: str
    exemplar: bool


Place = tuple[int, RowInfo]
StoredPlace = tuple[int, str, Kind, str, str, int]
"""Row, then the fields of its `RowInfo`: a page takes them as they are, without an object for each."""
ReadRange = Callable[[str, int, int], Iterable[StoredPlace]]
"""(policy, first row, row after the last) -> the rows that live."""
ReadRows = Callable[[str, Sequence[int]], Iterable[Place]]


class RowPlaces:
    """By policy and row. Rows that changed since their page was read are marked, and read again by themselves."""

    def __init__(self, read_range: ReadRange, read_rows: ReadRows) -> None:
        self._read_range = read_range
        self._read_rows = read_rows
        self._pages: dict[str, dict[int, _Page]] = {}
        self._changed: dict[str, dict[int, RowInfo | None]] = {}

    def of(self, policy: str, rows: Iterable[int]) -> dict[int, RowInfo]:
        """Of those rows that live."""
        pages = self._pages.setdefault(policy, {})
        changed = self._changed.setdefault(policy, {})
        found: dict[int, RowInfo] = {}
        missing: list[int] = []
        for row in rows:
            if row in changed:
                info = changed[row]
                if info is not None:
                    found[row] = info
                    continue
                missing.append(row)
                continue
            number, place = divmod(row, PAGE)
            page = pages.get(number)
            if page is None:
                if row > PAGED_ROWS:
                    missing.append(row)
                    continue
                page = pages[number] = _Page(
                    number * PAGE, self._read_range(policy, number * PAGE, number * PAGE + PAGE)
                )
            info = page.info(place)
            if info is not None:
                found[row] = info
        if missing:
            read = dict(self._read_rows(policy, missing))
            found.update(read)
            self._keep(changed, read)
        return found

    def set(self, policy: str, row: int, info: RowInfo) -> None:
        """The row's place under one policy; what it is under others is read again."""
        self.forget(row)
        self._keep(self._changed.setdefault(policy, {}), {row: info})

    def forget(self, row: int) -> None:
        """Its place changed: read it again."""
        for policy in self._pages.keys() | self._changed.keys():  # a row may be set before any page was read
            changed = self._changed.setdefault(policy, {})
            if row in changed or row // PAGE in self._pages.get(policy, {}):
                changed[row] = None

    def clear(self) -> None:
        """Read everything again."""
        self._pages.clear()
        self._changed.clear()

    def _keep(self, changed: dict[int, RowInfo | None], infos: dict[int, RowInfo]) -> None:
        if len(changed) + len(infos) > KEPT:
            for pages in self._pages.values():  # the pages of what is dropped may be older than it
                for row in changed:
                    pages.pop(row // PAGE, None)
            changed.clear()
        changed.update(infos)


class _Page:
    """The places of `PAGE` rows, as one string: objects would take seven times the memory."""

    __slots__ = ("_flags", "_starts", "_text")

    def __init__(self, first: int, places: Iterable[StoredPlace]) -> None:
        flags = bytearray(PAGE)
        texts: list[str] = [""] * (2 * PAGE)
        for row, material_id, kind, own, group, exemplar in places:
            place = row - first
            flags[place] = _LIVE | _NUMBER[kind] | (_OWN if own else 0) | (_EXEMPLAR if exemplar else 0)
            texts[2 * place] = material_id
            texts[2 * place + 1] = group
        self._flags = flags
        self._starts = array("I", accumulate(map(len, texts), initial=0))
        self._text = "".join(texts)

    def info(self, place: int) -> RowInfo | None:
        """None for a row that is gone."""
        flags = self._flags[place]
        if not flags:
            return None
        first, middle, end = self._starts[2 * place : 2 * place + 3]
        group = self._text[middle:end]
        return RowInfo(
            self._text[first:middle], KINDS[flags & 3], group if flags & _OWN else "", group, bool(flags & _EXEMPLAR)
        )
