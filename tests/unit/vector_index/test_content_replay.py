"""A log's inputs, replayed into an empty folder, give the same content IDs; a tampered log is found out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_items import deletion, image, near, plain_rankers, post, vectors

from materials.errors import UsageError
from vector_index.content import operations
from vector_index.content.replay import ReplayReport, replay
from vector_index.engine import Engine

V = vectors(12)
WHO = "moderator"


def open_engine(folder: Path) -> Engine:
    return Engine(folder, plain_rankers(), clock=lambda: 5.0)


def checked(folder: Path) -> ReplayReport:
    return replay(folder / "log.sqlite", plain_rankers())


def id_of(engine: Engine, name: str) -> str:
    return engine.look(lambda shelf: shelf.log.clusters.places("feed", [name]).get(name, ("", 0))[0])


def lively(folder: Path) -> Engine:
    """Batches, both policies, posts, verdicts, splits, merges."""
    engine = open_engine(folder)
    engine.assign([image(f"m{i}", near(V[i % 3], 0.95 + i / 400, i)) for i in range(10)])
    engine.assign([image("m1", near(V[1], 0.9525, 1), policy="copyright"), post("P", V[5], [V[0], near(V[1], 0.97)])])
    engine.assign([post("Q", V[5], [near(V[1], 0.99), near(V[0], 0.99)])])
    engine.change(lambda shelf: operations.unlink(shelf, "feed", "m0", "m3", WHO, "no"))
    engine.change(lambda shelf: operations.link(shelf, "feed", "m1", "m2", WHO, "yes"))
    engine.change(lambda shelf: operations.withdraw(shelf, "feed", "m1", "m2", "same", WHO, "hm"))
    engine.change(lambda shelf: operations.split(shelf, id_of(engine, "m1"), ["m2"], WHO, "parts"))
    engine.assign([image("late", near(V[2], 0.97))])
    one, other = id_of(engine, "m1"), id_of(engine, "m2")
    engine.change(lambda shelf: operations.merge(shelf, other, one, WHO, "after all"))
    return engine


def test_a_lively_log_replays_to_the_same_ids_while_it_is_served(tmp_path: Path) -> None:
    engine = lively(tmp_path)
    report = checked(tmp_path)
    assert report.identical, report.unequal
    assert (report.different, report.taken, report.operations) == (0, 0, 5)
    assert report.same == report.decisions == 18
    assert report.content_ids > 4
    engine.assign([image("after", V[9])])  # the log was only read
    engine.close()
    assert checked(tmp_path).decisions == 19


def test_what_rests_on_erased_evidence_is_taken_from_the_log(tmp_path: Path) -> None:
    engine = lively(tmp_path)
    engine.assign([deletion("m0"), deletion("m1")])
    engine.assign([image("m4", V[8], revision=1), deletion("P", kind="post")])
    engine.assign([image("m0", near(V[0], 0.99), revision=1)])
    engine.close()
    report = checked(tmp_path)
    assert report.identical, report.unequal
    assert report.different == 0
    assert report.taken > 0


def test_a_tampered_log_is_found_out(tmp_path: Path) -> None:
    lively(tmp_path).close()
    with sqlite3.connect(tmp_path / "log.sqlite") as log:
        target = log.execute("SELECT content_id FROM members WHERE row=1").fetchone()[0]
        log.execute("UPDATE members SET content_id=? WHERE row=2", (target,))
    log.close()
    report = checked(tmp_path)
    assert not report.identical
    assert any("m1" in line for line in report.unequal)


def test_another_rule_is_found_out(tmp_path: Path) -> None:
    """Decided by an engine that joins nothing: each that would have joined is told, and what was recorded stands."""
    blind = Engine(tmp_path, plain_rankers(), clock=lambda: 1.0, place=lambda *_: None)
    blind.assign([image(f"m{i}", near(V[0], 0.99, i)) for i in range(4)])
    blind.close()
    report = checked(tmp_path)
    assert (report.different, report.identical) == (3, True)
    assert [one.recorded for one in report.differences] == [""] * 3


def test_no_log_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no index log"):
        replay(tmp_path / "log.sqlite", plain_rankers())
    (tmp_path / "log.sqlite").write_bytes(b"no database at all, but some text that is long enough to be read as one")
    with pytest.raises(UsageError, match="cannot be read"):
        replay(tmp_path / "log.sqlite", plain_rankers())


choices = st.tuples(
    st.sampled_from(["image", "image", "image", "post", "delete", "link", "unlink", "split"]),
    st.integers(0, 6),
    st.integers(0, 3),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(choices, min_size=1, max_size=4), min_size=1, max_size=8))
def test_whatever_was_done_replays(tmp_path_factory: pytest.TempPathFactory, batches: list) -> None:  # type: ignore[type-arg]
    folder = tmp_path_factory.mktemp("log")
    engine = open_engine(folder)
    revision: dict[str, int] = {}
    for batch in batches:
        for what, number, scene in batch:
            name = f"{'p' if what == 'post' else 'm'}{number}"
            try:
                if what in ("image", "post", "delete"):
                    at = revision[name] = revision.get(name, -1) + 1
                    vector = near(V[scene], 0.96, number)
                    item = (
                        image(name, vector, revision=at)
                        if what == "image"
                        else post(name, V[scene + 4], [vector], revision=at)
                        if what == "post"
                        else deletion(name, revision=at)
                    )
                    engine.assign([item])
                elif what == "split":
                    engine.change(lambda s, n=name: operations.split(s, id_of(engine, n), [n], WHO, ""))  # type: ignore[misc]
                else:
                    call = operations.link if what == "link" else operations.unlink
                    engine.change(lambda s, n=name, o=f"m{scene}", c=call: c(s, "feed", n, o, WHO, ""))  # type: ignore[misc]
            except UsageError:
                pass
    engine.close()
    report = checked(folder)
    assert report.identical, report.unequal
    assert report.different == 0, report.differences
