"""A space in an engine answers as exact search does, whatever waits, and whether or not the engine is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gated_engine import GatedEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from index_items import vectors

from materials.errors import Overloaded, Retryable, UsageError
from materials.records import Feature
from vector_index.recall_engines.buffered_space import BUFFER, BufferedSpace, Limits
from vector_index.recall_engines.collection_names import CollectionNames
from vector_index.recall_engines.faiss_engine import FaissEngine
from vector_index.recall_engines.protocol import CollectionLost

POOL = vectors(30, seed=7)
KEY = "image-embedding@1"
steps = st.lists(
    st.tuples(st.sampled_from(["add", "replace", "remove", "settle", "away", "back", "restart"]), st.integers(0, 29)),
    min_size=1,
    max_size=30,
)


def feature(number: int) -> Feature:
    return Feature.of("vector", POOL[number % 30])


def saved(space: BufferedSpace, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    space.frozen().save(folder)


@contextmanager
def opened(engine: FaissEngine, folder: Path, snapshot: Path | None = None, **limits: float) -> Iterator[BufferedSpace]:
    names = CollectionNames(folder / "names.json", KEY)
    space = BufferedSpace(engine, names, Limits(**limits))  # type: ignore[arg-type]
    try:
        if snapshot is not None:
            space.load(snapshot)
        yield space
    finally:
        space.close()


@settings(max_examples=40, deadline=None)
@given(steps)
def test_it_answers_as_exact_search_does(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    folder = tmp_path_factory.mktemp("space")
    engine = GatedEngine()
    held: dict[int, int] = {}
    space = BufferedSpace(engine, CollectionNames(folder / "names.json", KEY))
    try:
        for what, number in steps:
            if what == "add" and number not in held:
                space.add([number], [feature(number)])
                held[number] = number
            elif what == "replace":
                space.remove([number])
                space.add([number], [feature(number + 1)])
                held[number] = number + 1
            elif what == "remove":
                space.remove([number, 1000 + number])
                held.pop(number, None)
            elif what == "settle" and not engine.away:
                assert space.settle(20)
            elif what in ("away", "back"):
                engine.away = what == "away"
            elif what == "restart":
                engine.away = False
                saved(space, folder / "snapshot")
                space.close()
                space = BufferedSpace(engine, CollectionNames(folder / "names.json", KEY))
                space.load(folder / "snapshot")
        engine.away = False
        query = vectors(1, seed=8)[0]
        exact = {row: float(POOL[number % 30] @ query) for row, number in held.items()}
        expected = sorted(exact, key=lambda row: (-exact[row], row))[:5]
        for _ in range(2):  # what waits is found as well as what went over
            assert [row for row, _ in space.search([Feature.of("vector", query)], 5)[0]] == expected
            assert space.settle(20)
    finally:
        space.close()


def test_rows_are_found_while_they_go_over(tmp_path: Path) -> None:
    data = vectors(3000, seed=3)
    with opened(GatedEngine(), tmp_path) as space:
        for start in range(0, 3000, 100):
            rows = range(start, start + 100)
            space.add(rows, [Feature.of("vector", vector) for vector in data[start : start + 100]])
            seen = [start, start // 2]
            hits = space.search([Feature.of("vector", data[row]) for row in seen], 3)
            assert [one[0][0] for one in hits] == seen
            assert all(len({row for row, _ in one}) == len(one) for one in hits)
        assert space.settle(20)
        assert len(space) == 3000


def test_an_engine_that_is_away_makes_reads_retryable_and_loses_nothing(tmp_path: Path) -> None:
    engine = GatedEngine()
    with opened(engine, tmp_path) as space:
        space.add([1], [feature(1)])
        assert space.settle(20)
        engine.away = True
        space.add([2], [feature(2)])
        space.remove([1])
        with pytest.raises(Retryable, match="away"):
            space.search([feature(2)], 3)
        engine.away = False
        assert [row for row, _ in space.search([feature(1)], 3)[0]] == [2]
        assert space.settle(20)
        assert space.trouble == ""
        assert (engine.count(), len(space)) == (1, 1)


def test_too_much_waiting_is_refused_before_anything_is_decided(tmp_path: Path) -> None:
    engine = GatedEngine()
    engine.away = True
    with opened(engine, tmp_path, waiting=3, stall_seconds=0.05) as space:
        space.add([1, 2], [feature(1), feature(2)])
        space.admit()
        space.add([3], [feature(3)])
        with pytest.raises(Overloaded, match="3 rows wait"):
            space.admit()
        space.add([4, 5, 6], [feature(n) for n in (4, 5, 6)])  # whoever was admitted is not refused after the fact
        with pytest.raises(Retryable, match="took no row for"):
            space.add([7], [feature(7)])
        engine.away = False
        assert space.settle(20)
        space.admit()
        assert len(space) == 6


def test_a_snapshot_holds_what_waits(tmp_path: Path) -> None:
    engine = GatedEngine()
    with opened(engine, tmp_path) as space:
        space.add([1, 2], [feature(1), feature(2)])
        assert space.settle(20)
        engine.away = True
        space.add([3], [feature(3)])
        space.remove([1])
        saved(space, tmp_path / "snapshot")
    engine.away = False
    with opened(engine, tmp_path, tmp_path / "snapshot") as space:
        assert sorted(row for row, _ in space.search([feature(3)], 5)[0]) == [2, 3]
        assert space.settle(20)
    assert engine.count() == 2


def test_a_space_that_was_loaded_and_given_up_writes_nothing(tmp_path: Path) -> None:
    engine = GatedEngine()
    with opened(engine, tmp_path) as space:
        space.add([1], [feature(1)])
        assert space.settle(20)
        engine.away = True
        space.add([2], [feature(2)])
        saved(space, tmp_path / "snapshot")
    engine.away = False
    with opened(engine, tmp_path, tmp_path / "snapshot") as space:
        assert space.waiting == 1
    assert engine.count() == 1


def test_a_collection_that_is_gone_asks_for_a_rebuild(tmp_path: Path) -> None:
    engine = GatedEngine()
    with opened(engine, tmp_path) as space:
        space.add([1], [feature(1)])
        assert space.settle(20)
        saved(space, tmp_path / "snapshot")
        [name] = engine.collections()
        engine.drop(name)
        with pytest.raises(CollectionLost):
            space.search([feature(1)], 1)
        with pytest.raises(CollectionLost):
            space.admit()
    with pytest.raises(ValueError, match="has no collection"), opened(engine, tmp_path, tmp_path / "snapshot"):
        pass


def test_a_space_that_starts_anew_drops_the_collection_before(tmp_path: Path) -> None:
    engine = GatedEngine()
    for row in (1, 2):
        with opened(engine, tmp_path) as space:
            space.add([row], [feature(row)])
            assert space.settle(20)
            assert len(engine.collections()) == 1
            assert [hit[0] for hit in space.search([feature(row)], 3)[0]] == [row]


def test_an_engine_that_promises_too_little_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lacks durable"):
        BufferedSpace(FaissEngine(), CollectionNames(tmp_path / "names.json", KEY))


def test_wrong_dimensions_and_damaged_files_are_errors(tmp_path: Path) -> None:
    with opened(GatedEngine(), tmp_path) as space:
        space.add([1], [feature(1)])
        with pytest.raises(ValueError, match="16 dimensions in a space of 32"):
            space.add([2], [Feature.of("vector", vectors(1, dim=16)[0])])
        assert space.search([], 3) == []
        (tmp_path / "other").mkdir()
        with (tmp_path / "other" / BUFFER).open("wb") as file:
            np.savez(file, format=np.int64(9))
        with pytest.raises(ValueError, match="format 9"):
            space.load(tmp_path / "other")
    (tmp_path / "names.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        CollectionNames(tmp_path / "names.json", KEY)
