"""A log of format 1 becomes one of format 2: the same answers and IDs, and IDs that know which is older."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from index_items import deletion, image, near, plain_rankers, vectors
from msgspec.structs import replace

from vector_index.content import history, operations
from vector_index.content.replay import replay
from vector_index.engine import Engine

V = vectors(6)


def as_format_1(path: Path) -> None:
    """Take away all that format 2 brought."""
    with sqlite3.connect(path) as log:
        for statement in (
            "DROP INDEX content_ids_by_age",
            "ALTER TABLE content_ids DROP COLUMN born",
            "ALTER TABLE content_ids DROP COLUMN split_from",
            "DROP TABLE verdicts",
            "DROP TABLE events",
            "DROP TABLE commits",
            "PRAGMA user_version=1",
        ):
            log.execute(statement)
    log.close()


def test_a_log_of_format_1_keeps_its_answers_and_learns_who_is_older(tmp_path: Path) -> None:
    items = [image(f"m{i}", near(V[i % 4], 0.97, i)) for i in range(12)]
    old = Engine(tmp_path, plain_rankers(), clock=lambda: 7.0)
    answers = old.assign(items)
    old.assign([deletion("m1")])
    tables = "SELECT * FROM members ORDER BY row", "SELECT content_id FROM content_ids ORDER BY born"
    with sqlite3.connect(tmp_path / "log.sqlite") as log:
        before = [log.execute(query).fetchall() for query in tables]
    log.close()
    old.close(take_snapshot=False)
    as_format_1(tmp_path / "log.sqlite")

    engine = Engine(tmp_path, plain_rankers(), clock=lambda: 8.0)
    with sqlite3.connect(tmp_path / "log.sqlite") as log:
        assert [log.execute(query).fetchall() for query in tables] == before
    log.close()
    assert [replace(one, replayed=False) for one in engine.assign(items[2:])] == answers[2:]
    older, younger = answers[0].content_id, answers[3].content_id
    changed = engine.change(lambda shelf: operations.merge(shelf, younger, older, "anna", "one"))
    assert (changed.content_id, changed.redirected) == (older, younger)
    told = engine.look(lambda shelf: history.of_content_id(shelf, older)).entries
    assert [entry.what for entry in told] == ["minted", "joined", "joined", "absorbed"]
    assert told[0].at is None  # that was not written down then
    assert engine.assign([image("new", V[5])])[0].outcome == "unique"
    engine.close()
    assert replay(tmp_path / "log.sqlite", plain_rankers()).identical
