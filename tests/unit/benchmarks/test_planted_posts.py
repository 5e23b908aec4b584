"""The planted posts and how their pairs are counted, and thresholds between what precision and recall ask for."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.bench_sets import BenchSet, Item
from benchmarks.policies import Wanted, fit_threshold, thinned
from benchmarks.posts import count_pairs, plant
from materials.records import Feature, Features
from vector_index.calibration.curve import ScoredPair, curve

SOME: Features = {"x@1": Feature(schema="vector", dtype="float32", shape=(1,), data=b"\0" * 4)}


def benchset(kind: str, references: int, copied: int) -> BenchSet:
    stored = [Item(f"R{n}", f"R{n}", f"a text of more than two dozen letters, {n}", SOME) for n in range(references)]
    asked = [Item(f"Q{n}", f"R{n}", f"copied text, {n}", SOME) for n in range(copied)]
    return BenchSet("post" if kind == "text" else "image", stored, asked, {one.name: ["crop"] for one in asked})


def test_each_base_plants_one_pair_that_is_the_same() -> None:
    posts = plant(benchset("image", 60, 40), benchset("text", 60, 40), 12, random.Random(1))
    assert len(posts) == 60
    assert Counter(Counter(one.content for one in posts).values()) == {2: 12, 1: 36}
    assert len({one.name for one in posts}) == 60
    with pytest.raises(ValueError, match="bases only"):
        plant(benchset("image", 20, 3), benchset("text", 60, 40), 12, random.Random(1))


def test_pairs_are_counted_once() -> None:
    posts = plant(benchset("image", 60, 40), benchset("text", 60, 40), 5, random.Random(1))
    right, faults = count_pairs(posts, {one.name: one.content for one in posts})
    assert (right.right, right.wrong, right.missed, right.f1) == (5, 0, 0, 1.0)
    assert not faults
    lumped, faults = count_pairs(posts, dict.fromkeys((one.name for one in posts), "all"))
    assert (lumped.right, lumped.missed) == (5, 0)
    assert lumped.wrong == 25 * 24 // 2 - 5 == sum(faults.values())


def test_thinning_keeps_what_the_queries_were_copied_from() -> None:
    few = thinned(benchset("image", 60, 40), 7)
    assert [one.name for one in few.queries] == [f"Q{n}" for n in range(7)]
    assert {f"R{n}" for n in range(7)} <= {one.name for one in few.references}
    assert len(few.references) == 14


def test_a_threshold_leaves_room_on_both_sides() -> None:
    rng = random.Random(3)
    pairs = [ScoredPair(rng.uniform(0.5, 1), True) for _ in range(500)]
    pairs += [ScoredPair(rng.uniform(0, 0.6), False) for _ in range(500)]
    fit = fit_threshold(pairs, Wanted(0.9, 0.7, ("image",)))
    point = curve(pairs).at(fit.threshold)
    assert fit.sure == 0.95
    assert point.precision_low > 0.9
    assert point.recall_low > 0.7
