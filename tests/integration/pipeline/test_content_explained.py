"""Ten odd pairs on the real stack: sentences and pictures, and what a person's word changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import redis
from photos import photo
from scenes import write_clip, write_jpeg
from sosie_system import System, sosie, write_job

from pipeline.explain import explained as explaining
from vector_index.content.client import ContentClient

pytestmark = pytest.mark.stack
IN_ORDER = Path(__file__).parents[2] / "support" / "understand_in_order.py"
QUAKE = "某地今晨发生7.1级地震，震源深度10公里，目前已有23人受伤，救援队已抵达现场。"
OTHER_QUAKE = QUAKE.replace("7.1", "5.8").replace("23", "4").replace("10公里", "60公里")
HOLIDAY = "Two pictures from my holiday in Perth, the coffee was splendid."
ADVERTISEMENT = "An advertisement: buy our new beans now, ten percent off until Friday."


def write_media(folder: Path) -> None:
    coffee = photo("coffee")
    height, width = coffee.shape[:2]
    write_jpeg(folder / "coffee.jpg", coffee)
    cut = coffee[:, ::-1][int(0.05 * height) : int(0.95 * height), int(0.06 * width) : int(0.94 * width)]
    write_jpeg(folder / "mirrored.jpg", np.ascontiguousarray(cut), quality=75)
    framed = np.full((height * 3 // 2, width * 3 // 2, 3), 240, np.uint8)
    framed[height // 4 : height // 4 + height, width // 4 : width // 4 + width] = coffee
    write_jpeg(folder / "framed.jpg", framed)
    write_jpeg(folder / "quokka.jpg", photo("quokka"))
    write_clip(folder / "road.mp4", photo("motorway"), seconds=8.0)
    write_clip(folder / "fast.mp4", photo("motorway"), seconds=6.0, scale=0.8)
    write_clip(folder / "tulips.mp4", photo("tulips"))


def record(name: str, kind: str, *media: str, text: str = "") -> dict[str, Any]:
    return {"material_id": f"x-{name}", "kind": kind, "media": [f"pictures/{m}" for m in media], "text": text}


RECORDS = [
    record("I1", "image", "coffee.jpg"),
    record("V1", "video", "road.mp4"),
    record("T1", "post", text=QUAKE),
    record("P1", "post", "coffee.jpg", "quokka.jpg", text=HOLIDAY),
    record("I2", "image", "mirrored.jpg"),
    record("I3", "image", "quokka.jpg"),
    record("I4", "image", "framed.jpg"),
    record("V2", "video", "fast.mp4"),
    record("V3", "video", "tulips.mp4"),
    record("T2", "post", text=OTHER_QUAKE),
    record("T3", "post", text="转发：" + QUAKE),
    record("P2", "post", "quokka.jpg", "coffee.jpg", text=HOLIDAY.replace(".", "!!")),
    record("P3", "post", "coffee.jpg", "quokka.jpg", text=ADVERTISEMENT),
]


@pytest.fixture(scope="module")
def told(system: System, tmp_path_factory: pytest.TempPathFactory) -> System:
    folder = tmp_path_factory.mktemp("explained")
    write_media(folder / "input" / "pictures")
    command = [sys.executable, str(IN_ORDER), str(write_job(folder, RECORDS, "explained")), str(system.state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=IN_ORDER.parents[2])
    assert done.returncode == 0, done.stderr
    return system


def test_ten_odd_pairs_read_like_sentences(told: System) -> None:
    expected = {
        ("I1", "I2"): ("Same picture", "x-I2 is x-I1 mirrored and cropped by about 20 %", "keypoints", "needed 0."),
        ("I1", "I4"): ("Same picture", "set into a larger picture, of which it fills about 45 %"),
        ("I2", "I4"): ("Same picture", "mirrored"),
        ("I1", "I3"): ("Not the same picture", "No part of x-I3 was found in x-I1", "needed 0."),
        ("V1", "V2"): ("Same video", "seconds 0.0 to 6.0 of x-V2 show seconds 0.0 to", "times the speed"),
        ("V1", "V3"): ("Not the same video", "too weak a likeness"),
        ("T1", "T2"): ("Not the same post", "numbers 7.1, 10, 23 where x-T2 has 5.8, 60, 4"),
        ("T1", "T3"): ("Same post", "x-T3 adds “转发"),
        ("P1", "P2"): ("Same post", "Their media match both ways", "Their texts differ in signs only"),
        ("P1", "P3"): ("Not the same post", "Their media match both ways", "other texts", "related, which is less"),
        ("I1", "P1"): ("Not the same", "an image and x-P1 a post", "same picture as x-P1/0"),
        ("I1", "ghost"): ("x-ghost is unknown",),
    }
    for (one, other), words in expected.items():
        found = explaining.explained(told.state, told.addresses, f"x-{one}", f"x-{other}", "feed")
        whole = "\n".join([*found.sentences, *found.figures]).lower()
        for word in words:
            assert word.lower() in whole, (one, other, found.sentences)
        assert len(found.pictures) == (2 if one[0] == other[0] == "P" else 1 if one[0] == other[0] in "IV" else 0)


def test_pages_and_pictures_of_pairs(told: System, tmp_path: Path) -> None:
    answer = told.ask("content", "explain", "x-I1", "x-I4", "--out", tmp_path / "pair.png")
    drawn = cv2.imread(str(tmp_path / "pair.png"))
    assert drawn is not None
    assert drawn.shape[1] > drawn.shape[0]
    assert answer["explanation"]["judged"]["evidence"]["inliers"] > 20
    told.sosie("content", "explain", "x-T1", "x-T2", "--out", tmp_path / "pair.html")
    page = (tmp_path / "pair.html").read_text(encoding="utf-8")
    assert "<del>7.1</del><ins>5.8</ins>" in page
    assert "<script" not in page
    for target, words in (("pair.gif", "neither a page nor a picture"), ("pair.png", "nothing to draw")):
        command = ("content", "explain", "x-T1", "x-T2", "--out", tmp_path / target, "--state", told.state)
        assert words in sosie(*command, code=2).stderr.replace("\n", " ")


def test_a_persons_word_moves_content_ids_and_redis_follows(told: System) -> None:
    before = told.ask("content", "get", "x-I1", "x-I4")
    assert before["x-I1"]["feed"]["content_id"] == before["x-I4"]["feed"]["content_id"]
    parted = told.ask("content", "unlink", "x-I1", "x-I4", "--by", "anna", "--why", "another print run")
    assert parted["moved"] == {"x-I4": parted["new"]}
    assert told.ask("content", "get", "x-I4")["x-I4"]["feed"]["content_id"] == parted["new"]
    explained = told.ask("content", "explain", "x-I1", "x-I4")["sentences"]
    assert explained[1].startswith("anna declared x-I1 and x-I4 different")
    scan = told.ask("content", "merge", "--scan", "--apply")
    assert scan["kept_apart"] >= 1
    refused = sosie("content", "link", "x-I4", "x-I1", "--state", told.state, code=2).stderr
    assert "--withdraw" in refused
    told.sosie("content", "unlink", "x-I4", "x-I1", "--withdraw", "--by", "anna")
    joined = told.ask("content", "link", "x-I4", "x-I1", "--by", "anna")
    assert joined["content_id"] == before["x-I1"]["feed"]["content_id"]
    kinds = [entry["what"] for entry in told.ask("content", "history", "x-I4")["entries"]]
    assert kinds[:4] == ["joined", "split", "different", "withdrawn"]
    assert sorted(kinds[4:]) == ["merged", "same"]  # one transaction
    assert told.ask("content", "history", parted["new"])["canonical"] == joined["content_id"]
    with ContentClient(told.addresses.index) as client:
        assert client.resolve(parted["new"]) == joined["content_id"]


def test_redis_is_rebuilt_and_the_log_replays(told: System) -> None:
    before = told.ask("content", "get", "x-I2")["x-I2"]["feed"]
    with redis.Redis.from_url(told.addresses.redis) as store:
        assert store.delete("sosie:outcome:x-I2") == 1
    assert told.ask("content", "rebuild")["missing"] == 1
    assert told.ask("content", "rebuild")["missing"] == 0
    back = told.ask("content", "get", "x-I2")["x-I2"]["feed"]
    assert (back["outcome"], back["matched"]) == ("duplicate", before["matched"])
    report = told.ask("content", "rebuild", "--check")
    assert (report["identical"], report["different"]) == (True, 0)
