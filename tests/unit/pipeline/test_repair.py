"""What a repair sends again: only what is lost, each record once, its media where they were."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pipeline.reconciling.repair import copy_lost, copy_lost_records, lost_by_chain, replay
from pipeline.spec import JobSpec
from reconcile.comparison.findings import Discrepancy
from reconcile.ledger.runs import RunRecord


def line(name: str, **more: Any) -> bytes:
    return json.dumps({"material_id": name, "kind": "post", "text": "Herons."} | more).encode()


def lost(name: str, window: int, chain: str = "c") -> Discrepancy:
    return Discrepancy(name="lost", material_id=name, revision=0, detail="", chain=chain, window=window)


def read(path: Path) -> list[Any]:
    return [json.loads(each) for each in path.read_bytes().splitlines() if each]


def test_the_longest_lost_come_first_and_no_more_than_the_budget() -> None:
    found = [lost("late", 180), lost("early", 60), lost("other", 120, "d")]
    assert lost_by_chain(found, 2) == ({"c": {("early", 0)}, "d": {("other", 0)}}, 1)


def test_lines_keep_their_number_and_media_their_place(tmp_path: Path) -> None:
    source = tmp_path / "in" / "day.jsonl"
    source.parent.mkdir()
    picture = line("b", kind="image", text="", media=["b.jpg"])
    source.write_bytes(b"\n".join([line("a"), b"{broken", picture, picture]) + b"\n")
    wanted = {("b", 0), ("@day.jsonl:2", 0)}
    assert copy_lost(source, source.parent, tmp_path / "copies", wanted) == 2
    first, second, third, fourth = (tmp_path / "copies" / "day.jsonl").read_bytes().splitlines()
    assert (first, second, fourth) == (b"", b"{broken", b"")
    assert json.loads(third)["media"] == [str(source.parent / "b.jpg")]
    assert wanted == set()


def test_records_of_topics_are_copied_by_topic_and_what_has_only_an_offset_is_left(tmp_path: Path) -> None:
    records = [
        ("posts", "posts-0:0", line("a")),
        ("posts", "posts-0:1", b"{broken"),
        ("posts", "posts-1:0", line("b", media=["b.jpg"]).replace(b", ", b",\n")),
        ("images", "images-0:0", line("c")),
        ("posts", "posts-1:1", line("b")),
    ]
    wanted = {("b", 0), ("c", 0), ("@posts-0:1", 0)}
    assert copy_lost_records(records, tmp_path / "copies", Path("/media"), wanted) == 2
    assert wanted == {("@posts-0:1", 0)}
    [of_posts] = read(tmp_path / "copies" / "posts.jsonl")
    assert (of_posts["material_id"], of_posts["media"]) == ("b", ["/media/b.jpg"])
    assert [each["material_id"] for each in read(tmp_path / "copies" / "images.jsonl")] == ["c"]


def test_a_run_on_kafka_is_repaired_from_files_and_says_what_it_left(tmp_path: Path) -> None:
    source = {"kind": "kafka", "topics": ["posts"], "bootstrap": "b:1", "base": "/media"}
    spec = {"name": "j", "source": source, "sink": {"kind": "files", "path": "/out"}, "plugins": ["text-embedding"]}
    run = RunRecord(
        run_id="c",
        chain="c",
        job="j",
        policy="feed",
        source=source,
        sink={"kind": "files", "path": "/out"},
        started_at=1.0,
        spec_json=json.dumps(spec),
    )
    again: list[tuple[JobSpec, str]] = []
    wanted = {"c": {("a", 0), ("@posts-0:1", 0)}}
    sent, refused = replay(
        [run],
        wanted,
        tmp_path,
        lambda spec, chain: again.append((spec, chain)),
        os.stat(tmp_path).st_mtime,
        lambda _run: [("posts", "posts-0:0", line("a")), ("posts", "posts-0:1", b"{broken")],
    )
    [(repaired, chain)] = again
    assert (sent, chain, repaired.mode, repaired.source.kind) == (1, "c", "batch", "files")
    assert Path("/media") in repaired.media.roots
    assert "1 records have no id but their offset" in refused["c"]
