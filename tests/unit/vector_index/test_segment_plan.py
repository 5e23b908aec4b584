"""What the background merges: a space of any size comes to lie in a few segments, and rows are written anew seldom."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from vector_index.segments.plan import next_plan
from vector_index.segments.settings import SegmentSettings

DIM = 8


@dataclass(frozen=True)
class Book:
    """A codebook of which only the name and the codes are asked."""

    name: str = "cells"
    codes: str = "sq8"
    trained_at: int = 10**9


@dataclass
class Sized:
    """A segment of which only its size is asked."""

    rows: int
    codebook: Book = field(default_factory=Book)
    dead_count: int = 0

    def __len__(self) -> int:
        return self.rows

    @property
    def live(self) -> int:
        return self.rows


def merged(sizes: list[int], settings: SegmentSettings) -> tuple[list[int], int]:
    """Sizes when nothing is left to do, oldest first, and rows that were written for it."""
    segments = [Sized(size) for size in sizes]
    written = 0
    while (plan := next_plan(segments, 0, Book(), DIM, settings)) is not None:  # type: ignore[arg-type]
        assert plan.train is None
        assert len(plan.sources) > 1
        sources = [segments[number] for number in plan.sources]
        new = Sized(sum(map(len, sources)))
        written += len(new)
        segments = [new if one is sources[-1] else one for one in segments if one is sources[-1] or one not in sources]
    return [len(one) for one in segments], written


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.integers(2, 6))
def test_each_segment_that_stays_is_larger_than_so_many_times_all_smaller_ones(sizes: list[int], fan_in: int) -> None:
    left = sorted(merged(sizes, SegmentSettings(fan_in=fan_in))[0])
    assert sum(left) == sum(sizes)
    for place in range(1, len(left)):
        assert left[place] > fan_in * sum(left[:place])


def test_a_space_that_grows_by_equal_segments_stays_in_few_and_is_written_about_eight_times() -> None:
    settings = SegmentSettings()
    segments: list[int] = []
    written = 0
    for _ in range(200):
        segments, more = merged([*segments, 100], settings)
        written += more
        assert len(segments) <= 1 + math.log(sum(segments) / 100, settings.fan_in + 1)
    assert written < 10 * 200 * 100
