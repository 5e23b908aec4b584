"""The whole job on the real stack: every line has one outcome, copies share an ID, a replay changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from photos import photo
from scenes import scene, write_clip, write_jpeg
from sosie_system import System, results, write_job, write_spec

from materials.records import OUTCOMES
from vector_index.client import IndexClient

pytestmark = pytest.mark.stack
LONG = "今天在西湖边看到一只白鹭，站在荷叶上一动不动，拍了十几张照片，太美了！"
OTHER = "The last train from Lyon was late again, forty minutes on a cold platform."
MODES = ("streaming", "batch")
DECIDED = ("outcome", "content_id", "matched", "parts", "candidates", "reason")


def write_media(pictures: Path) -> None:
    write_jpeg(pictures / "1.jpg", photo("coffee"))
    write_jpeg(pictures / "1b.jpg", photo("coffee")[20:300, 20:460], quality=60)
    write_jpeg(pictures / "2.jpg", photo("quokka"))
    write_clip(pictures / "5.mp4", photo("motorway"))
    write_clip(pictures / "5b.mp4", photo("motorway"), scale=0.8, crf=30)
    write_clip(pictures / "6.mp4", photo("tulips"))
    (pictures / "broken.jpg").write_bytes((pictures / "1.jpg").read_bytes()[:4000])
    (pictures / "empty.jpg").touch()
    (pictures / "page.jpg").write_text("<html>404</html>")


def lines(tag: str) -> list[Any]:
    def record(name: str, kind: str, *media: str, text: str = "") -> dict[str, Any]:
        return {"material_id": f"{tag}-{name}", "kind": kind, "media": [f"pictures/{m}" for m in media], "text": text}

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
        {"material_id": f"{tag}-bad-loopback", "kind": "image", "media": ["http://127.0.0.1:9/x.jpg"]},
        {"material_id": f"{tag}-bad-kind", "kind": "photo", "media": ["pictures/1.jpg"]},
        {"material_id": f"{tag}-bad-nothing", "kind": "post"},
        b'{"material_id": "' + tag.encode() + b'-bad-json", "kind": "post", "text": "x"',
        b"not json at all \xff\xfe",
        b"",
    ]


BAD = {
    *("bad-truncated", "bad-empty", "bad-html", "bad-missing", "bad-out", "bad-loopback", "bad-kind", "bad-nothing"),
    "bad-json",
}


class Done:
    """The same media under other names, run once in each mode: streaming first, then batch."""

    def __init__(self, system: System, folder: Path) -> None:
        self.folder = folder
        write_media(folder / "input" / "pictures")
        self.summaries = {mode: system.run(write_job(folder, lines(mode), mode, mode=mode)) for mode in MODES}
        self.found = {mode: {r["material_id"]: r for r in results(folder, mode)} for mode in MODES}


@pytest.fixture(scope="module")
def done(system: System, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Done(system, tmp_path_factory.mktemp("jobs"))


@pytest.fixture
def store(system: System) -> Iterator[Any]:
    connection = redis.Redis.from_url(system.addresses.redis)
    yield connection
    connection.close()


@pytest.mark.parametrize("mode", MODES)
def test_every_line_has_one_outcome_and_bad_ones_a_reason(done: Done, mode: str) -> None:
    found, summary = done.found[mode], done.summaries[mode]
    assert len(results(done.folder, mode)) == len(found) == summary["lines"] == len(lines(mode)) - 1
    assert tuple(summary["outcomes"]) == OUTCOMES
    bad = {name: r for name, r in found.items() if r["outcome"] == "rejected"}
    assert set(bad) == {f"{mode}-{name}" for name in BAD} | {f"@{mode}.jsonl:{len(lines(mode)) - 1}"}
    assert summary["outcomes"]["rejected"] == len(bad)
    assert all(": " in r["reason"] for r in bad.values())
    assert summary["reasons"] == {"rejected": Counter(r["reason"].partition(":")[0] for r in bad.values())}


@pytest.mark.parametrize("mode", MODES)
def test_copies_share_a_content_id_and_others_do_not(done: Done, mode: str) -> None:
    def content(name: str) -> str:
        return str(done.found[mode][f"{mode}-{name}"]["content_id"])

    assert content("I1") == content("I1b") != content("I2")
    assert content("V5") == content("V5b") != content("V6")
    assert content("T1") == content("T1b") != content("T2")
    parts = done.found[mode][f"{mode}-PM"]["parts"]
    assert [part["content_id"] for part in parts] == [content("I1"), content("V5")]
    assert content("PM") not in (content("T2"), content("I1"))


def test_a_replay_changes_nothing(system: System, done: Done) -> None:
    with IndexClient(system.addresses.index) as client:
        before = client.stats()
        spec = write_spec(done.folder, "replay", source={"kind": "files", "path": "input"})
        summary = system.run(spec)
        after = client.stats()
    assert summary["lines"] == sum(done.summaries[mode]["lines"] for mode in MODES)
    assert [after[key] for key in ("materials", "content_ids", "sequence", "spaces")] == [
        before[key] for key in ("materials", "content_ids", "sequence", "spaces")
    ]
    again = {r["material_id"]: [r[key] for key in DECIDED] for r in results(done.folder, "replay")}
    first = {name: [r[key] for key in DECIDED] for mode in MODES for name, r in done.found[mode].items()}
    assert again == first


def test_features_and_outcome_are_in_redis(done: Done, store: Any) -> None:
    assert sorted(store.hkeys("sosie:feat:streaming-I2")) == [
        b"@media",
        b"image-embedding@1",
        b"image-local@1",
        b"image-pdq@1",
    ]
    assert sorted(store.hkeys("sosie:feat:streaming-PM/1")) == [
        b"@media",
        b"video-embedding@1",
        b"video-local@1",
    ]
    assert not store.exists("sosie:feat:streaming-bad-html")
    kept = json.loads(store.hget("sosie:outcome:streaming-I1b", "feed"))
    written = done.found["streaming"]["streaming-I1b"]
    assert [kept[key] for key in DECIDED] == [written[key] for key in DECIDED]


def test_the_command_line_answers_about_materials_and_content_ids(system: System, done: Done) -> None:
    two = system.ask("content", "get", "streaming-I2", "streaming-bad-html")
    assert two["streaming-bad-html"]["feed"]["reason"].split(":")[0] == "not_an_image"
    content_id = two["streaming-I2"]["feed"]["content_id"]
    assert content_id == done.found["streaming"]["streaming-I2"]["content_id"]
    assert "streaming-I2" in system.sosie("content", "get", "streaming-I2")
    asked = system.ask("content", "members", content_id)
    assert asked["content_id"] == content_id
    assert asked["members"][0] == "streaming-I2"
    assert set(asked["members"]) == {"streaming-I2", "batch-I2"}
    assert system.ask("content", "lookup", content_id) == {"content_id": content_id, "canonical": content_id}
    assert system.sosie("content", "lookup", content_id).strip() == content_id


def test_search_finds_and_stores_nothing(system: System, done: Done) -> None:
    with IndexClient(system.addresses.index) as client:
        before = client.stats()["materials"]
        image = system.ask("content", "search", done.folder / "input" / "pictures" / "2.jpg")
        words = system.ask("content", "search", "--text", LONG[:20])
        assert client.stats()["materials"] == before
    assert {c["material_id"] for c in image[:2]} == {"streaming-I2", "batch-I2"}
    assert image[0]["score"] > 0.9
    assert set(image[0]) >= {"material_id", "score", "relation", "recall_score", "content_id", "ranker", "segments"}
    assert {c["material_id"] for c in words} & {"streaming-T1", "batch-T1", "streaming-T1b", "batch-T1b"}


def test_two_thousand_mixed_records_have_one_outcome_each(system: System, tmp_path: Path) -> None:
    pictures = tmp_path / "input" / "pictures"
    for seed in range(40):
        write_jpeg(pictures / f"{seed}.jpg", scene(1000 + seed, 320, 240))
    for seed in range(3):
        write_clip(pictures / f"{seed}.mp4", scene(2000 + seed), seconds=1.5, scale=0.5)
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
