"""The whole job on the real stack: every line has one outcome, copies share an ID, a replay changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis
from scenes import scene, write_clip, write_jpeg
from sosie_system import System, results, write_job

from vector_index.client import IndexClient

pytestmark = pytest.mark.stack
LONG = "今天在西湖边看到一只白鹭，站在荷叶上一动不动，拍了十几张照片，太美了！"
OTHER = "The last train from Lyon was late again, forty minutes on a cold platform."


def media_records(folder: Path, tag: str) -> list[Any]:
    pictures = folder / "input" / "pictures"
    for seed in (1, 2):
        write_jpeg(pictures / f"{seed}.jpg", scene(seed))
    write_jpeg(pictures / "1b.jpg", scene(1)[20:340, 20:460], quality=60)
    write_clip(pictures / "5.mp4", 5)
    write_clip(pictures / "5b.mp4", 5, scale=0.6, crf=30)
    write_clip(pictures / "6.mp4", 6)
    (pictures / "broken.jpg").write_bytes((pictures / "1.jpg").read_bytes()[:4000])
    (pictures / "empty.jpg").touch()
    (pictures / "page.jpg").write_text("<html>404</html>")

    def record(name: str, kind: str, *media: str, text: str = "") -> dict[str, Any]:
        return {"material_id": f"{tag}{name}", "kind": kind, "media": [f"pictures/{m}" for m in media], "text": text}

    return [
        record("I1", "image", "1.jpg"),
        record("I2", "image", "2.jpg"),
        record("I1b", "image", "1b.jpg"),
        record("V5", "video", "5.mp4"),
        record("V5b", "video", "5b.mp4"),
        record("V6", "video", "6.mp4"),
        record("T1", "post", text=LONG),
        record("T1b", "post", text="转发微博：" + LONG.replace("，", ",") + " http://t.cn/x 😂"),
        record("T2", "post", text=OTHER),
        record("PM", "post", "1.jpg", "5.mp4", text=OTHER + " Look at this."),
        record("bad-truncated", "image", "broken.jpg"),
        record("bad-empty", "image", "empty.jpg"),
        record("bad-html", "image", "page.jpg"),
        record("bad-missing", "image", "none.jpg"),
        record("bad-out", "image", "../../../../etc/hostname"),
        {"material_id": f"{tag}bad-loopback", "kind": "image", "media": ["http://127.0.0.1:9/x.jpg"]},
        {"material_id": f"{tag}bad-kind", "kind": "photo", "media": ["pictures/1.jpg"]},
        {"material_id": f"{tag}bad-nothing", "kind": "post"},
        b'{"material_id": "' + tag.encode() + b'bad-json", "kind": "post", "text": "x"',
        b"not json at all \xff\xfe",
        b"",
    ]


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_every_line_has_one_outcome_and_a_replay_changes_nothing(system: System, tmp_path: Path, mode: str) -> None:
    tag = f"{mode}-"
    records = media_records(tmp_path, tag)
    spec = write_job(tmp_path, records, name=mode, mode=mode)
    first = system.run(spec)
    assert first["lines"] == len(records) - 1
    assert sum(first["outcomes"].values()) == first["lines"]
    found = {r["material_id"]: r for r in results(tmp_path, mode, first["run_id"])}
    assert len(found) == first["lines"]
    bad = {name: r for name, r in found.items() if r["outcome"] == "rejected"}
    assert {name.removeprefix(tag) for name in bad} == {
        "bad-truncated", "bad-empty", "bad-html", "bad-missing", "bad-out", "bad-loopback", "bad-kind", "bad-nothing",
        "bad-json", f"@{mode}.jsonl:20",
    }  # fmt: skip
    assert all(": " in r["reason"] for r in bad.values())

    def content(name: str) -> str:
        return str(found[tag + name]["content_id"])

    assert content("I1") == content("I1b") != content("I2")
    assert content("V5") == content("V5b") != content("V6")
    assert content("T1") == content("T1b") != content("T2")
    parts = found[tag + "PM"]["parts"]
    assert [part["content_id"] for part in parts] == [content("I1"), content("V5")]
    assert content("PM") not in (content("T2"), content("I1"))

    client = IndexClient(system.addresses.index)
    before = client.stats()
    second = system.run(spec)
    assert client.stats()["materials"] == before["materials"]
    again = {r["material_id"]: r for r in results(tmp_path, mode, second["run_id"])}
    same = ("outcome", "content_id", "matched", "parts", "candidates", "reason")
    assert {n: [r[k] for k in same] for n, r in again.items()} == {n: [r[k] for k in same] for n, r in found.items()}
    client.close()


def test_two_thousand_mixed_records_have_one_outcome_each(system: System, tmp_path: Path) -> None:
    pictures = tmp_path / "input" / "pictures"
    for seed in range(40):
        write_jpeg(pictures / f"{seed}.jpg", scene(1000 + seed, 320, 240))
    for seed in range(3):
        write_clip(pictures / f"{seed}.mp4", 2000 + seed, seconds=1.5, scale=0.5)
    records: list[Any] = []
    for i in range(2000):
        name = f"mix-{i}"
        if i % 20 == 7:
            records.append([b"{broken " + str(i).encode(), {"material_id": name, "kind": "reel"}][i // 20 % 2])
        elif i % 10 == 3:
            records.append({"material_id": name, "kind": "image", "media": [f"pictures/{i // 10 % 40}.jpg"]})
        elif i % 100 == 50:
            records.append({"material_id": name, "kind": "video", "media": [f"pictures/{i // 100 % 3}.mp4"]})
        else:
            records.append({"material_id": name, "kind": "post", "text": f"{OTHER} {LONG[: i % 30]} seat {i}"})
    summary = system.run(write_job(tmp_path, records))
    found = results(tmp_path, run_id=summary["run_id"])
    assert (summary["lines"], len(found)) == (2000, 2000)
    assert len({r["material_id"] for r in found}) == 2000
    assert Counter(r["outcome"] for r in found)["rejected"] == 100
    assert not [r for r in found if r["outcome"] == "dead"]


def test_features_and_outcome_are_in_redis(system: System, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "input" / "a.jpg", scene(31))
    spec = write_job(tmp_path, [{"material_id": "redis-1", "kind": "image", "media": ["a.jpg"]}])
    system.run(spec)
    connection = redis.Redis.from_url(system.addresses.redis)
    fields = connection.hkeys("sosie:feat:redis-1")
    assert sorted(fields) == [b"image-embedding@1", b"image-local@1", b"image-pdq@1"]
    connection.close()
    got = json.loads(system.sosie("content", "get", "redis-1", "--json"))
    content_id = got["redis-1"]["feed"]["content_id"]
    assert json.loads(system.sosie("content", "members", content_id, "--json"))["members"] == ["redis-1"]
    assert system.sosie("content", "lookup", content_id).strip() == content_id
    found = json.loads(system.sosie("content", "search", tmp_path / "input" / "a.jpg", "--json"))
    assert (found[0]["material_id"], found[0]["content_id"]) == ("redis-1", content_id)
    assert found[0]["score"] > 0.9


def test_a_delete_takes_a_material_out_and_a_revision_replaces_it(system: System, tmp_path: Path) -> None:
    one = {"material_id": "del-1", "kind": "post", "text": "Seventeen pelicans crossed the harbour at dawn, said Ines."}
    two = one | {"text": "A quite different report about the price of copper in Santiago.", "revision": 1}
    system.run(write_job(tmp_path, [one], name="first"))
    system.run(write_job(tmp_path, [two], name="second"))
    again = results(tmp_path, "second")[0]
    assert (again["outcome"], again["revision"]) == ("unique", 1)
    assert again["content_id"] != results(tmp_path, "first")[0]["content_id"]
    changed = one | {"text": "The same id and revision, but other words."}
    system.run(write_job(tmp_path, [changed | {"revision": 1}], name="conflict"))
    assert results(tmp_path, "conflict")[0]["reason"].startswith("conflicting_material: ")
    system.run(write_job(tmp_path, [one | {"op": "delete", "revision": 2}], name="gone"))
    assert results(tmp_path, "gone")[0]["outcome"] == "deleted"
    found = json.loads(system.sosie("content", "search", "--text", two["text"], "--json"))
    assert "del-1" not in [c["material_id"] for c in found]
