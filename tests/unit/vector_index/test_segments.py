"""Segments against brute force: whatever is added, removed, sealed, merged, trained or restarted in between."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_items import near, vectors

from vector_index.segments.build import Job, Source, build
from vector_index.segments.files import SegmentError
from vector_index.segments.settings import Probe, SegmentSettings
from vector_index.segments.store import SegmentedStore

DIM = 16
POOL = vectors(400, seed=7, dim=DIM)
SMALL = SegmentSettings(
    flat_limit=40,
    seal_rows=32,
    least_sealed=4,
    nprobe=64,
    cell_margin=2,
    disk_reserve=0,
    fan_in=2,
    regrow=3,
    dead_share=0.3,
)
"""Every cell is searched, so that what is coded is found as exactly as what is not."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 120), min_size=1, max_size=30, unique=True)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 130), min_size=1, max_size=20, unique=True)),
        st.tuples(st.sampled_from(["settle", "restart"]), st.just([])),
    ),
    min_size=3,
    max_size=25,
)


def restarted(store: SegmentedStore, folder: Path, storage: SegmentSettings = SMALL) -> SegmentedStore:
    """As after a snapshot and a new start, in the same home."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    store.frozen().save(folder)
    store.close()
    again = SegmentedStore(store.home, storage)
    again.load(folder)
    return again


def check(store: SegmentedStore, held: dict[int, np.ndarray], query: np.ndarray, least: float = 1.0) -> None:
    assert len(store) == len(held)
    assert sorted(store.rows().tolist()) == sorted(held)
    scores, rows = store.search(query[None], 10)
    found = [(row, score) for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True) if row >= 0]
    assert len({row for row, _ in found}) == len(found)
    for row, score in found:
        assert score == pytest.approx(float(held[row] @ query), abs=2e-3)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    best = sorted(held, key=lambda row: -float(held[row] @ query))[:10]
    assert len({row for row, _ in found} & set(best)) >= least * len(best) - 1


@settings(max_examples=25, deadline=None)
@given(steps=steps, memory=st.sampled_from([1 << 30, 2000]))
def test_segments_answer_as_brute_force_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list, memory: int
) -> None:
    """`memory` of 2,000 bytes: RaBitQ from the first training on."""
    folder = tmp_path_factory.mktemp("segments")
    storage = SegmentSettings(**{name: getattr(SMALL, name) for name in SMALL.__struct_fields__} | {"memory": memory})
    store, held, count = SegmentedStore(folder / "home", storage), {}, 0
    for what, rows in steps:
        if what == "add":
            count += 1
            chosen = {row: POOL[(row * 7 + count) % len(POOL)] for row in rows}
            store.add(np.array(rows, np.int64), np.stack(list(chosen.values())))
            held.update(chosen)
        elif what == "remove":
            store.remove(np.array(rows, np.int64))
            held = {row: vector for row, vector in held.items() if row not in rows}
        elif what == "settle":
            assert store.settle(30)
        else:
            store = restarted(store, folder / "saved", storage)
        check(store, held, POOL[count])
    assert store.settle(30)
    check(store, held, POOL[-1])
    assert store.upkeep_failures() == {"failures": 0, "reason": ""}
    store.close()


@pytest.fixture
def coded(tmp_path: Path) -> SegmentedStore:
    """3,000 vectors in cells."""
    data = vectors(3000, seed=3)
    store = SegmentedStore(tmp_path / "home", SegmentSettings(flat_limit=1000, seal_rows=700, disk_reserve=0))
    for start in range(0, 3000, 250):
        store.add(np.arange(start, start + 250), data[start : start + 250])
    assert store.settle(60)
    return store


def test_switch_to_cells_is_invisible(coded: SegmentedStore, tmp_path: Path) -> None:
    data = vectors(3000, seed=3)
    assert not coded.exact
    assert len(coded) == 3000
    queries = np.stack([near(data[i], 0.9, seed=i) for i in range(200)])
    scores, rows = coded.search(queries, 10)
    assert (rows[:, 0] == np.arange(200)).mean() >= 0.99
    assert scores[:, 0] == pytest.approx(np.full(200, 0.9), abs=2e-3)
    coded.remove(np.array([5, 6, 99999]))
    loaded = restarted(coded, tmp_path / "saved", SegmentSettings(flat_limit=1000, seal_rows=700, disk_reserve=0))
    assert len(loaded) == 2998
    assert not {5, 6} & set(loaded.search(data[5:7], 10)[1].ravel().tolist())
    assert (loaded.search(queries[7:], 10)[1][:, 0] == np.arange(7, 200)).mean() >= 0.99
    loaded.close()


def test_cells_are_made_anew_as_the_space_grows(tmp_path: Path) -> None:
    data = vectors(5000, seed=4)
    store = SegmentedStore(tmp_path, SegmentSettings(flat_limit=400, regrow=4, disk_reserve=0))
    store.add(np.arange(500), data[:500])
    assert store.settle(60)
    few = store.stats().cells
    store.add(np.arange(500, 5000), data[500:])
    assert store.settle(60)
    assert store.stats().cells > few
    assert (store.search(data[:200], 1)[1][:, 0] == np.arange(200)).mean() >= 0.99
    store.close()


def test_a_crowd_of_removed_neighbours_hides_nobody(coded: SegmentedStore) -> None:
    """One material that was sent a thousand times leaves its old versions next to its newest."""
    data = vectors(3000, seed=3)
    crowd = np.stack([near(data[0], 0.99, seed=i) for i in range(600)])
    coded.add(np.arange(10_000, 10_600), crowd)
    assert coded.settle(60)
    coded.remove(np.arange(10_001, 10_600))
    found = coded.search(near(data[0], 0.95, seed=9)[None], 5)[1][0].tolist()
    assert set(found[:2]) == {0, 10_000}
    assert -1 not in found


def test_merging_in_a_process_of_its_own_gives_the_same(tmp_path: Path) -> None:
    data = vectors(1500, seed=5)
    answers = []
    for name, inline in (("thread", 10**9), ("process", 0)):
        storage = SegmentSettings(flat_limit=500, seal_rows=100, least_sealed=50, disk_reserve=0, inline_rows=inline)
        store = SegmentedStore(tmp_path / name, storage)
        store.add(np.arange(600), data[:600])
        assert store.settle(60)
        answers.append(store.search(data[:50], 5))
        assert store.upkeep_failures() == {"failures": 0, "reason": ""}
        store.close()
    assert (answers[0][1] == answers[1][1]).all()
    assert answers[0][0] == pytest.approx(answers[1][0], abs=1e-6)


def test_a_full_disk_leaves_the_segments_as_they_are(tmp_path: Path) -> None:
    data = vectors(300, seed=6)
    store = SegmentedStore(tmp_path, SegmentSettings(flat_limit=100, disk_reserve=1 << 60))
    store.add(np.arange(300), data)
    assert store.settle(30)
    assert (store.search(data, 1)[1][:, 0] == np.arange(300)).all()
    told = store.upkeep_failures()
    assert told["failures"] >= 1
    assert "must stay free" in told["reason"]
    store.close()


def test_a_build_from_a_damaged_source_says_so(coded: SegmentedStore, tmp_path: Path) -> None:
    view = coded.view
    assert view is not None
    folder = view.segments[0].folder
    assert folder is not None
    (folder / "segment.json").write_bytes(b"{}")
    job = Job(
        sources=(Source(str(folder), ""),),
        dim=32,
        codebook=str(tmp_path / "codebook"),
        codes="sq8",
        trained_at=100,
        train=True,
        out=str(tmp_path / "out"),
        max_cells=4,
        probe=Probe(4),
        threads=1,
        niceness=0,
    )
    with pytest.raises(SegmentError, match=r"segment\.json"):
        build(job)
    assert not (tmp_path / "out").exists()


def test_a_snapshot_links_what_lies_on_the_disk(coded: SegmentedStore, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    known = coded.frozen().save(saved)
    linked = list(saved.rglob("codes.faiss"))
    assert linked
    assert all(path.stat().st_nlink == 2 for path in linked)
    assert {str(path.relative_to(saved)) for path in linked} <= set(known)


def test_what_is_frozen_stays_as_it_was_while_writes_go_on(coded: SegmentedStore, tmp_path: Path) -> None:
    data = vectors(3000, seed=3)
    frozen = coded.frozen()
    coded.remove(np.arange(0, 3000, 2))
    coded.add(np.arange(5000, 6500), vectors(1500, seed=8))
    assert coded.settle(60)
    saved = tmp_path / "saved"
    saved.mkdir()
    frozen.save(saved)
    loaded = SegmentedStore(tmp_path / "other", SegmentSettings(flat_limit=1000, disk_reserve=0))
    loaded.load(saved)
    assert sorted(loaded.rows().tolist()) == list(range(3000))
    assert (loaded.search(data[:100], 1)[1][:, 0] == np.arange(100)).mean() >= 0.99
    loaded.close()
    coded.close()
