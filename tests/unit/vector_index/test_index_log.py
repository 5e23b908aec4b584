"""The log alone rebuilds everything; snapshots are a short cut that may be damaged."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_items import deletion, image, near, plain_rankers, post, vectors
from msgspec.structs import replace

from materials.errors import Permanent, Retryable
from materials.records import AssignItem, Assignment
from vector_index.engine import Engine
from vector_index.evidence_cache import EvidenceCache, StoredEvidence

BASE = vectors(6)


def open_engine(folder: Path, **more: int) -> Engine:
    return Engine(folder, plain_rankers(), clock=lambda: 0.0, **more)


def item(choice: tuple[str, int, int, int]) -> AssignItem:
    what, number, scene, revision = choice
    if what == "delete":
        return deletion(f"m{number}", revision=revision)
    vector = near(BASE[scene], 0.95, seed=number)
    if what == "post":
        return post(f"p{number}", BASE[(scene + 1) % 6], [vector], revision=revision)
    return image(f"m{number}", vector, policy="copyright" if number % 5 == 0 else "feed", revision=revision)


def held(engine: Engine) -> dict[str, int]:
    return {key: rows for key, rows in engine.stats().spaces.items() if rows}


choices = st.tuples(
    st.sampled_from(["image", "image", "image", "post", "delete"]),
    st.integers(0, 8),
    st.integers(0, 5),
    st.integers(0, 2),
)
batches = st.lists(st.lists(choices, min_size=1, max_size=5), min_size=1, max_size=6)


@settings(max_examples=12, deadline=None)
@given(batches, st.data())
def test_restarts_change_no_answer(tmp_path_factory: pytest.TempPathFactory, steps: list, data: st.DataObject) -> None:
    """Whatever is sent, with restarts from log or snapshot in between: the answers of an engine that never stopped."""
    steady = open_engine(tmp_path_factory.mktemp("steady"))
    folder = tmp_path_factory.mktemp("restarted")
    restarted = open_engine(folder)
    sent = []
    for step in steps:
        batch = [item(choice) for choice in step]
        sent.append((batch, steady.assign(batch)))
        assert restarted.assign(batch) == sent[-1][1]
        what = data.draw(st.sampled_from(["go on", "snapshot", "restart", "crash"]))
        if what == "snapshot":
            restarted.snapshot()
        elif what != "go on":
            restarted.close(take_snapshot=what == "restart")
            restarted = open_engine(folder)
        assert held(restarted) == held(steady)
    for batch, answers in sent:
        for again, first in zip(restarted.assign(batch), answers, strict=True):
            assert replace(again, replayed=False) == replace(first, replayed=False) or "rejected" in (
                again.outcome,
                first.outcome,
            )
    steady.close()
    restarted.close()


def decided(answer: Assignment) -> object:
    """What was decided. Which of two equal candidates comes first hangs on the last bit of their scores, and that on
    the order in which a product of matrices sums."""
    parts = [decided(part) for part in answer.parts]
    return answer.material_id, answer.outcome, answer.content_id, answer.revision, parts


def scores(answers: Sequence[Assignment]) -> list[float]:
    """Of each answer's candidates that are near at all, best first."""
    return [candidate.score for answer in answers for candidate in answer.candidates if candidate.score > 0.001]


@settings(max_examples=10, deadline=None)
@given(batches)
def test_replaying_what_was_sent_mints_the_same_ids(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    """Two empty engines, one fed in batches and one item by item, decide alike."""
    one, other = (open_engine(tmp_path_factory.mktemp("replay")) for _ in range(2))
    for step in steps:
        batch = [item(choice) for choice in step]
        together, apart = one.assign(batch), [other.assign([single])[0] for single in batch]
        assert [decided(answer) for answer in together] == [decided(answer) for answer in apart]
        assert scores(together) == pytest.approx(scores(apart), abs=1e-4)
    one.close()
    other.close()


def filled(folder: Path) -> list[str]:
    engine = open_engine(folder)
    ids = []
    for start in (0, 3):
        answers = engine.assign([image(f"m{i}", BASE[i]) for i in range(start, start + 3)])
        ids += [one.content_id for one in answers]
        engine.snapshot()
    engine.close()
    return ids


@pytest.mark.parametrize("damage", ["newest", "all", "gone", "manifest", "unfinished"])
def test_damaged_snapshots_cost_nothing_but_time(tmp_path: Path, damage: str) -> None:
    ids = filled(tmp_path)
    snapshots = sorted((tmp_path / "snapshots").iterdir())
    assert len(snapshots) == 2
    for snapshot in snapshots[-1:] if damage == "newest" else snapshots:
        if damage in ("newest", "all"):
            file = snapshot / "000" / "tail.vectors"
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(bytes(content))
        elif damage == "manifest":
            (snapshot / "manifest.json").write_bytes(b"{")
        elif damage == "gone":
            shutil.rmtree(snapshot)
        else:
            snapshot.rename(snapshot.with_name(f".{snapshot.name}.tmp"))
    engine = open_engine(tmp_path)
    found = engine.assign([image(f"n{i}", near(BASE[i], 0.97)) for i in range(6)])
    assert [one.content_id for one in found] == ids
    engine.close()


def test_a_snapshot_from_another_future_is_passed_over(tmp_path: Path) -> None:
    """The log was put back from a copy, on purpose: its snapshots know more than it does."""
    ids = filled(tmp_path)
    for name in ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm", "acknowledged"):
        (tmp_path / name).unlink(missing_ok=True)
    engine = open_engine(tmp_path)
    assert engine.stats().spaces == {}
    assert engine.assign([image("m0", BASE[0])])[0].content_id == ids[0]
    engine.close()


def test_snapshots_are_taken_when_due_and_only_two_kept(tmp_path: Path) -> None:
    engine = open_engine(tmp_path, snapshot_every=2)
    for i in range(6):
        engine.assign([image(f"m{i}", BASE[i])])
        engine.snapshot_if_due()
        engine.settle()
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["000000000004", "000000000006"]
    engine.close()


def test_a_log_of_another_format_or_kind_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "log.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Permanent, match="format 99"):
        open_engine(tmp_path)
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(Permanent, match="not a readable index log"):
        open_engine(tmp_path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE cats (name TEXT)")
    other.close()
    with pytest.raises(Permanent, match="no index log of sosie"):
        open_engine(tmp_path)


def test_a_full_disk_refuses_and_changes_nothing(tmp_path: Path) -> None:
    engine = open_engine(tmp_path)
    first = engine.assign([image("a", BASE[0])])
    before = engine.stats()
    pages = engine._log._db.execute("PRAGMA page_count").fetchone()[0]
    engine._log._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Retryable, match="cannot be written"):
        engine.assign([image(f"b{i}", vectors(1, seed=i, dim=32)[0], text="x" * 9000) for i in range(40)])
    assert replace(engine.stats(), counters={}) == replace(before, counters={})
    engine._log._db.execute("PRAGMA max_page_count=1000000")
    later = engine.assign([image("a", BASE[0]), image("c", near(BASE[0], 0.97))])
    assert later[0] == replace(first[0], replayed=True)
    assert later[1].content_id == first[0].content_id
    engine.close()


def test_cache_keeps_within_its_bytes() -> None:
    cache = EvidenceCache(capacity=3_000)
    for row in range(10):
        cache.put(row, StoredEvidence({}, "x" * 400))
    assert [row for row in range(10) if cache.get(row) is not None] == [7, 8, 9]
    cache.put(9, StoredEvidence({}, "y"))
    cache.drop(8)
    assert cache.get(8) is None
    assert cache.get(9) == StoredEvidence({}, "y")
