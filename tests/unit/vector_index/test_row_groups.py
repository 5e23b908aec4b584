"""Contents by row, inserts that wait, rows that a search did not see: each against the plain way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_items import image, near, vectors

from vector_index.buffered_writes import BufferedConnection
from vector_index.engine import Engine
from vector_index.late_rows import Changes, LateRows
from vector_index.lone_cosine import FLOOR
from vector_index.ranking.registry import default_rankers
from vector_index.row_groups import PAGE, RowGroups
from vector_index.unsearched import UnsearchedRows

V = vectors(60, dim=256)


@given(
    st.dictionaries(st.integers(1, 3 * PAGE), st.dictionaries(st.sampled_from("AB"), st.sampled_from("xyz"))),
    st.lists(st.tuples(st.integers(1, 3 * PAGE), st.sampled_from("AB"), st.sampled_from("xyz")), max_size=20),
)
def test_groups_follow_the_members(members: dict[int, dict[str, str]], changes: list[tuple[int, str, str]]) -> None:
    def read(first: int, end: int) -> list[tuple[int, str, str]]:
        rows = sorted(row for row in members if first <= row < end)
        return [(row, policy, members[row][policy]) for row in rows for policy in sorted(members[row])]

    def plain(policy: str, row: int) -> str:
        places = members.get(row, {})
        return places.get(policy) or next((places[other] for other in sorted(places)), "")

    groups = RowGroups(read)
    everything = list(range(1, 3 * PAGE + 1))
    name: dict[int, str] = {0: ""}
    for row, policy, content_id in [*changes, (1, "A", "x")]:
        for scene in "AB":
            for number, one in zip(groups.of(scene, everything), everything, strict=True):
                assert name.setdefault(number, plain(scene, one)) == plain(scene, one)
        members.setdefault(row, {})[policy] = content_id
        groups.set(policy, row, content_id)


def test_inserts_wait_and_whatever_else_is_asked_sees_them(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None, factory=BufferedConnection)
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    connection.execute("BEGIN")
    for x in range(5):
        connection.later("INSERT INTO t VALUES (?)", (x,))
    assert connection.peek("SELECT count(*) FROM t").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (5,)
    connection.later("INSERT INTO t VALUES (?)", (3,))
    with pytest.raises(sqlite3.IntegrityError):
        connection.flush()
    connection.later("INSERT INTO t VALUES (?)", (7,))
    connection.drop()
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()


def test_late_rows_are_kept_for_the_oldest_search_and_no_longer() -> None:
    late = LateRows()
    late.published(3, [(1, {}), (2, {}), (3, {})])
    assert late.since(0, {}) == []  # nobody waited
    with late.held():
        late.hold(3)
    late.published(5, [(4, {}), (5, {})])
    with late.held():
        late.hold(5)
    late.published(6, [(6, {})])
    assert [row for row, _ in late.since(3, {9: {}})] == [4, 5, 6, 9]
    assert [row for row, _ in late.since(5, {})] == [6]
    late.release(3)
    assert [row for row, _ in late.since(5, {})] == [6]
    late.release(5)
    assert late.since(5, {}) == []


def test_a_row_that_a_later_decision_removes_is_not_added() -> None:
    changes = Changes()
    changes.then([], {1: {}, 2: {}})
    changes.then([1], {3: {}})
    assert changes.removed == [1]
    assert list(changes.added) == [2, 3]


def test_unsearched_rows_are_those_that_beat_what_was_found() -> None:
    features = [image(str(i), vector).features["image-embedding@1"] for i, vector in enumerate(V[:12])]
    queries, others = features[:4], features[4:]
    worst = [0.0, -1.0, 0.05, 2.0]
    unsearched = UnsearchedRows([0, 1, 2, 3], queries, worst, range(100, 108), others)
    placed = {0: 200, 2: 202}
    for number, query in enumerate(V[:4]):
        expected = {100 + place: float(query @ other) for place, other in enumerate(V[4:12])}
        expected |= {row: float(query @ V[other]) for other, row in placed.items() if other < number}
        found = dict(unsearched.better(number, placed))
        wanted = {row: score for row, score in expected.items() if score > worst[number]}
        assert found.keys() == wanted.keys()
        assert np.allclose([found[row] for row in wanted], list(wanted.values()), atol=1e-5)


def test_one_cosine_decides_as_the_whole_ranker_does(tmp_path: Path) -> None:
    """The short way through fine ranking gives the content IDs and the reported scores of the long one."""
    items = [image(f"m{i}", V[i]) for i in range(40)]
    items += [image(f"n{i}", near(V[i % 40], 0.5 + i / 120, seed=i)) for i in range(60)]
    answers = []
    for name in ("short", "long"):
        engine = Engine(tmp_path / name, default_rankers(), clock=lambda: 0.0)
        if name == "long":
            engine._comparer.by_cosine = lambda *_: None  # type: ignore[method-assign]
        answers.append([one for at in range(0, 100, 20) for one in engine.assign(items[at : at + 20])])
        engine.close()
    assert {one.outcome for one in answers[0]} == {"unique", "duplicate"}
    for short, long in zip(*answers, strict=True):
        assert (short.outcome, short.content_id) == (long.outcome, long.content_id)
        kept = {candidate.material_id: candidate.score for candidate in short.candidates}
        whole = {candidate.material_id: candidate.score for candidate in long.candidates}
        for name, score in kept.items():
            if name in whole:
                assert abs(score - whole[name]) < 1e-6
            else:  # a centre that stands behind the ten that the long way reports
                assert len(whole) == 10
                assert score <= min(whole.values())
        assert all(score < FLOOR for name, score in whole.items() if name not in kept)
