"""The store of traces: nothing that fits is lost, its bounds hold, and a search finds exactly what was asked for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.traces.drain import Drain
from reconcile.traces.reading import traces_of
from reconcile.traces.records import Ending, Fragment, Span, decode, encode
from reconcile.traces.sampling import ORDINARY, Sampling, reason_to_keep
from reconcile.traces.segments import Bounds, Segments, TraceWriter, prune


def fragment(material_id: str = "P1", **changes: object) -> Fragment:
    given: dict[str, object] = {
        "trace_id": "ab" * 16,
        "material_id": material_id,
        "id": "0011aabb",
        "process": "post@here:1",
        "name": "pass",
        "start": 1_000,
        "end": 9_000,
        "kept": "share",
        "ending": Ending("unique", content_id="feed-x"),
        "spans": [Span("assign", 2_000, 8_000), Span("assign.call", 3_000, 7_000, 0, "", {"items": 2})],
    }
    return Fragment(**(given | changes))  # type: ignore[arg-type]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


def test_a_line_comes_back_as_it_went() -> None:
    assert decode(encode(fragment())) == fragment()


def test_what_was_written_is_found_by_material_and_by_trace(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, Bounds())
    writer.put(fragment(kept="failed", ending=Ending("retry", "gone"), start=1, end=2))
    writer.put(fragment(attempt=2, start=5, end=6))
    writer.put(fragment(trace_id="cd" * 16, start=7, end=8))
    writer.put(fragment("P10"))
    writer.put(fragment('@we"ird.jsonl:3'))
    writer.put(fragment("P2", ending=Ending("duplicate", matched="P3")))
    writer.close()
    newest, older = traces_of(tmp_path, "P1")
    assert (newest.trace_id, older.trace_id) == ("cd" * 16, "ab" * 16)
    assert [each.attempt for each in older.fragments] == [1, 2], "one trace, two attempts, from files of both kinds"
    assert len(traces_of(tmp_path, '@we"ird.jsonl:3')) == 1
    assert traces_of(tmp_path, "P3") == [], "it is only named in another's trace"
    assert {trace.material_id for trace in traces_of(tmp_path, "ab" * 16)} == {"P1", "P10", '@we"ird.jsonl:3', "P2"}


@given(st.lists(st.integers(1, 900), min_size=1, max_size=120), st.integers(4_000, 20_000))
def test_the_store_never_outgrows_its_bounds(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], most: int
) -> None:
    folder, now = tmp_path_factory.mktemp("store"), [100.0]
    bounds = Bounds(max_bytes=most)
    segments = Segments(folder, "ordinary", bounds, lambda: now[0])
    for size in sizes:
        now[0] += 0.01
        segments.append([b"x" * size])
        assert size_of(folder) <= most // 2 + 900
    newest = sorted(folder.glob("*.jsonl"))[-1].read_bytes()
    assert newest.endswith(b"x" * sizes[-1] + b"\n"), "the last one is always there"
    segments.close()


def test_dull_traces_take_no_interesting_one_away(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, Bounds(max_bytes=40_000))
    writer.put(fragment("interesting", kept="rejected"))
    for number in range(600):
        writer.put(fragment(f"dull-{number}"))
    writer.close()
    assert size_of(tmp_path) <= 40_000
    assert traces_of(tmp_path, "interesting")
    assert traces_of(tmp_path, "dull-599")
    assert not traces_of(tmp_path, "dull-0")


def test_old_files_go_and_a_file_that_someone_removed_is_begun_anew(tmp_path: Path) -> None:
    now = [1_000.0]
    segments = Segments(tmp_path, "remarkable", Bounds(max_age_s=50.0), lambda: now[0])
    segments.append([b"one"])
    [first] = tmp_path.iterdir()
    os.utime(first, (1_000.0, 1_000.0))
    prune(tmp_path, "remarkable", Bounds(max_age_s=50.0), 1_049.0)
    assert first.exists()
    prune(tmp_path, "remarkable", Bounds(max_age_s=50.0), 1_051.0)
    assert not first.exists()
    segments.append([b"two"])
    segments.close()
    [second] = tmp_path.iterdir()
    assert second.read_bytes() == b"two\n"


def test_a_torn_line_hides_no_other(tmp_path: Path) -> None:
    whole = encode(fragment())
    (tmp_path / "remarkable-1-1-a.jsonl").write_bytes(whole[:-9] + b"\n" + whole + b"\n" + whole[:-20])
    (tmp_path / "ordinary-1-1-a.jsonl").touch()
    [trace] = traces_of(tmp_path, "P1")
    assert trace.fragments == [fragment()]


def test_a_folder_that_cannot_be_written_fails_nobody(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    writer = TraceWriter(tmp_path / "taken", Bounds())
    writer.put(fragment())
    writer.close()
    assert (tmp_path / "taken").read_text() == "a file"


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    gate, taken = threading.Event(), list[int]()

    def take(items: list[int]) -> None:
        gate.wait(10)
        taken.extend(items)

    drain = Drain("test-drain", take, pause=0.0, most=3)
    drain.put(0)
    while drain._items:  # until the thread has it, and waits at the gate
        threading.Event().wait(0.001)
    for number in range(1, 6):
        drain.put(number)
    gate.set()
    drain.close()
    assert taken == [0, 3, 4, 5]
    assert drain.dropped == 2


def test_a_taker_that_fails_does_not_end_the_thread() -> None:
    taken: list[int] = []

    def take(items: list[int]) -> None:
        taken.extend(items)
        if len(taken) == 1:
            raise ValueError("the first one is refused")

    drain = Drain("test-drain", take, pause=0.0)
    drain.put(1)
    while not taken:
        threading.Event().wait(0.001)
    drain.put(2)
    drain.close()
    assert taken == [1, 2]


def test_reasons_to_keep() -> None:
    def why(outcome: str = "unique", **changes: object) -> str:
        sampling = Sampling(keep=0.0, duplicates=0.0, slow_ms=500.0)
        flags = {key: changes.pop(key) for key in ("troubled", "asked") if key in changes}
        return reason_to_keep(sampling, "1" * 32, Ending(outcome, **changes), **flags)  # type: ignore[arg-type]

    assert why() == ""
    assert why("duplicate") == ""
    assert [why("dead"), why("retry"), why("rejected")] == ["failed", "failed", "rejected"]
    assert [why(attempts=2), why(latency_ms=500.0), why(latency_ms=499.0)] == ["retried", "slow", ""]
    assert [why(troubled=True), why(asked=True)] == ["troubled", "asked"]
    all_kept = Sampling()
    assert reason_to_keep(all_kept, "f" * 32, Ending("unique")) == "share"
    assert reason_to_keep(all_kept, "f" * 32, Ending("duplicate")) == "duplicate"
    assert {"share", "duplicate"} == ORDINARY
