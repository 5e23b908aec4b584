"""Places of rows in memory against the plain way: whatever changes, the next look sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector_index import row_places
from vector_index.row_places import PAGE, Place, RowInfo, RowPlaces, StoredPlace

ROWS = st.integers(1, 3 * PAGE)
INFOS = st.builds(
    lambda name, kind, group, own, exemplar: RowInfo(name, kind, group if own else "", group, exemplar),
    st.sampled_from(["m1", "a much longer name", "名字"]),
    st.sampled_from(["image", "video", "post"]),
    st.sampled_from(["feed-a", "copyright-bcd"]),
    st.booleans(),
    st.booleans(),
)
EVERYTHING = range(1, 3 * PAGE + 1)


@pytest.mark.parametrize(("kept", "paged"), [(50_000, 4_000_000), (3, 4_000_000), (50_000, PAGE)])
@given(
    stored=st.dictionaries(ROWS, INFOS, max_size=20),
    changes=st.lists(st.tuples(ROWS, st.none() | INFOS), max_size=12),
    looked=st.lists(ROWS, max_size=6),
)
def test_places_follow_the_log(
    kept: int, paged: int, stored: dict[int, RowInfo], changes: list[tuple[int, RowInfo | None]], looked: list[int]
) -> None:
    def read_range(_: str, first: int, end: int) -> Iterator[StoredPlace]:
        for row, info in stored.items():
            if first <= row < end:
                yield row, info.material_id, info.kind, info.content_id, info.group, info.exemplar

    def read_rows(_: str, rows: Sequence[int]) -> Iterator[Place]:
        return ((row, stored[row]) for row in rows if row in stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_places, "KEPT", kept)
        patch.setattr(row_places, "PAGED_ROWS", paged)
        places = RowPlaces(read_range, read_rows)
        assert places.of("feed", looked) == {row: stored[row] for row in looked if row in stored}
        for row, info in changes:
            if info is None:
                stored.pop(row, None)
                places.forget(row)
            else:
                stored[row] = info
                places.set("feed", row, info)
            assert places.of("feed", [row, *looked]) == {one: stored[one] for one in (row, *looked) if one in stored}
        assert places.of("feed", EVERYTHING) == stored
