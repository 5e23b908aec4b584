"""A kill at every named moment, and every damage: a quick pass over what `make kills` does two hundred times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from index_kills import cases
from index_kills.campaign import UNDER_LOAD, plan
from index_kills.damage import Skipped
from index_kills.life import Moment, live

from vector_index.crash_points import POINTS

pytestmark = pytest.mark.fault
QUICK = ("in-log", "after-log", "snapshot-rename", "seal-swap", "restore-rows")


def test_kills_at_the_worst_moments_lose_and_change_nothing(tmp_path: Path) -> None:
    """Each moment must come, or the service would not die: a point that the code has lost fails here or in the soak."""
    cases = list(live([Moment(point) for point in QUICK], seed=3, folder=tmp_path))
    assert [case.moment.point for case in cases] == list(QUICK)
    for case in cases:
        assert case.verdict.sound, case.verdict.notes
        assert case.verdict.checked > 50


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_every_moment_lose_and_change_nothing(tmp_path: Path, seed: int) -> None:
    points = [point for point in POINTS if point != "migration"]
    random.Random(seed).shuffle(points)
    for case in live([Moment(point) for point in points], seed=seed, folder=tmp_path):
        assert case.verdict.sound, (case.moment, case.verdict.notes)


def test_the_plan_of_two_hundred_kills_leaves_no_moment_out() -> None:
    lives = plan(200, seed=1)
    points = [moment.point for moments in lives for moment in moments]
    assert len(points) == 200
    assert set(points) == {"random", *POINTS} - {"migration"}  # that one has a test of its own
    assert set(UNDER_LOAD) == set(points)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "flipped-tail" else pytest.mark.soak) for name in cases.CASES],
)
def test_damage_is_survived_or_refused_in_one_line(name: str) -> None:
    try:
        verdict = cases.run(name)
    except Skipped as reason:
        pytest.skip(str(reason))
    assert verdict.sound, verdict.notes
    assert verdict.checked > 100
