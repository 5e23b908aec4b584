"""Sums by bucket: equal sides agree, and any difference shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconcile.comparison.sums import BucketSums, differing, whole

SIDES = "ENLSDIPR"
FIELDS = ("n", "distinct_n", "ids", "full")


def bucket(number: int, n: int = 3) -> list[BucketSums]:
    return [
        BucketSums(bucket=number, side=side, n=n, distinct_n=n, ids=7, full=9, windows=60 if side in "NL" else None)
        for side in SIDES
    ]


def test_equal_sides_agree() -> None:
    assert differing(bucket(1) + bucket(2)) == (set(), set())


@given(st.integers(0, 7), st.sampled_from(FIELDS), st.integers(1, 2**40))
def test_one_changed_figure_is_seen(place: int, field: str, by: int) -> None:
    sums = bucket(5)
    one = sums[place]
    sums[place] = replace(one, **{field: getattr(one, field) + by})
    runs, policies = differing(bucket(4) + sums)
    by_run = one.side in "ENLS"
    told_of = {"ids": "ENLS", "full": "LSDIPR"}.get(field, SIDES)
    assert runs == ({5} if by_run and one.side in told_of else set())
    assert policies == ({5} if not by_run and one.side in told_of else set())


def test_a_side_that_is_not_there_differs() -> None:
    sums = [one for one in bucket(3) if one.side not in "SR"]
    assert differing(sums) == ({3}, {3})


def test_a_flag_or_another_window_is_seen() -> None:
    sums = bucket(6)
    sums[2] = replace(sums[2], flags=1)
    assert differing(sums) == ({6}, set())
    sums = bucket(6)
    sums[1] = replace(sums[1], windows=120)
    assert differing(sums) == ({6}, set())


def test_sums_wrap_like_the_jvm_s() -> None:
    one = BucketSums(bucket=0, side="S", n=1, distinct_n=1, full=-1)
    other = BucketSums(bucket=1, side="S", n=1, distinct_n=1, full=2)
    [results] = [side for side in whole([one, other]) if side.side == "results"]
    assert (results.n, results.sum) == (2, f"{1:016x}")
