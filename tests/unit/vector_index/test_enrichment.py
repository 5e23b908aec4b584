"""A new embedding version fills its space while everything that was decided stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from index_items import IMAGE, deletion, image, near, plain_rankers, vectors

from materials.errors import UsageError
from materials.records import AssignItem, Feature, Features
from vector_index.engine import Engine
from vector_index.enrichment import Enrichment

NEXT = "image-embedding@1.2"
OLD, NEW = vectors(20), vectors(20, seed=7)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)
    made.assign([image(f"m{n}", OLD[n]) for n in range(5)])
    yield made
    made.close()


def of_next(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Features:
    return {NEXT: Feature.of("vector", vector)}


def newcomer(name: str, number: int) -> AssignItem:
    """A near copy of m{number}, as only the next version sees it."""
    item = image(name, OLD[number])
    return AssignItem(**{f: getattr(item, f) for f in item.__struct_fields__} | {"features": of_next(NEW[number])})


def fill(engine: Engine) -> tuple[int, int]:
    return engine.enrich([Enrichment(f"m{n}", 0, of_next(NEW[n])) for n in range(5)])


def test_content_ids_survive_the_change_of_version(engine: Engine) -> None:
    before = engine.get([f"m{n}" for n in range(5)], "feed")
    assert engine.assign([newcomer("early", 0)])[0].outcome == "unique", "the new space was empty"
    assert fill(engine) == (5, 0)
    assert engine.get([f"m{n}" for n in range(5)], "feed") == before
    late = engine.assign([newcomer("late", 3)])[0]
    assert (late.outcome, late.content_id) == ("duplicate", before[3].content_id if before[3] else "")
    assert engine.assign([image("older", near(OLD[2], 0.97))])[0].matched is not None, "the old space answers as well"


def test_it_is_there_after_a_restart_with_and_without_a_snapshot(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    engine.close(take_snapshot=False)
    for take_snapshot in (True, False):
        again = Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)
        assert again.stats().spaces == {IMAGE: 5, NEXT: 5}
        assert again.search(newcomer("?", 4))[0].material_id == "m4"
        again.close(take_snapshot=take_snapshot)


def test_what_lacks_a_version_is_listed_by_pages(engine: Engine) -> None:
    engine.enrich([Enrichment("m1", 0, of_next(NEW[1]))])
    first = engine.lacking(IMAGE, NEXT, limit=3)
    rest = engine.lacking(IMAGE, NEXT, after=first[-1].row, limit=3)
    assert [each.material_id for each in (*first, *rest)] == ["m0", "m2", "m3", "m4"]
    with pytest.raises(UsageError, match="0 materials in one page"):
        engine.lacking(IMAGE, NEXT, limit=0)


def test_what_is_gone_changed_or_there_already_is_passed_over(engine: Engine) -> None:
    engine.assign([deletion("m0"), image("m1", OLD[11], revision=1)])
    assert fill(engine) == (3, 2)
    assert fill(engine) == (0, 2)
    assert engine.enrich([Enrichment("m1", 1, of_next(NEW[1])), Enrichment("nobody", 0, of_next(NEW[1]))]) == (1, 1)


@pytest.mark.parametrize(
    "features",
    [
        {NEXT: Feature.of("vector", 3 * NEW[0])},
        {NEXT: Feature.of("timed-vectors", NEW[:2])},
        {NEXT: Feature.of("vector", vectors(1, dim=8)[0])},
    ],
)
def test_a_feature_that_does_not_fit_stores_nothing(
    engine: Engine, features: Features, reopened: Callable[[], Engine]
) -> None:
    engine.enrich([Enrichment("m4", 0, of_next(NEW[4]))])
    with pytest.raises(UsageError, match=r"image-embedding@1\.2 of m0"):
        engine.enrich([Enrichment("m1", 0, of_next(NEW[1])), Enrichment("m0", 0, features)])
    assert len(engine.lacking(IMAGE, NEXT)) == 4
    assert reopened().stats().spaces == {IMAGE: 5, NEXT: 1}


@pytest.fixture
def reopened(engine: Engine, tmp_path: Path) -> Callable[[], Engine]:
    def again() -> Engine:
        engine.close()
        return Engine(tmp_path, plain_rankers(), clock=lambda: 0.0)

    return again
