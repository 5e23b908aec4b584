"""`sosie trace` on the real stack: what it tells of a rejected, a duplicate, a slow and a retried material is true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import understand_one
from scenes import scene, write_jpeg
from sosie_system import System, results, sosie, write_job, write_spec
from tampering_proxy import tampering

from deploy.addresses import host_port

pytestmark = pytest.mark.stack
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
TEXT = "The night ferry to Stromness was cancelled again, and nobody at the pier knew why."
CLOCKS = 60.0
"""Milliseconds by which two measurements of the same thing may differ on a busy machine."""


class Job:
    """One run through Flink, and what came out."""

    def __init__(self, system: System, folder: Path) -> None:
        write_jpeg(folder / "input" / "good.jpg", scene(4))
        (folder / "input" / "cut.jpg").write_bytes((folder / "input" / "good.jpg").read_bytes()[:3000])
        records = [
            {"material_id": "tr-first", "kind": "post", "text": TEXT},
            {"material_id": "tr-second", "kind": "post", "text": TEXT + " 😂"},
            {"material_id": "tr-image", "kind": "image", "media": ["good.jpg"], "traceparent": TRACEPARENT},
            {"material_id": "tr-cut", "kind": "image", "media": ["cut.jpg"]},
            {"material_id": "tr-kind", "kind": "photo", "media": ["good.jpg"]},
        ]
        system.run(write_job(folder, records, "traced"))
        found = results(folder, "traced")
        self.outcomes: dict[str, dict[str, Any]] = {each["material_id"]: each for each in found}


@pytest.fixture(scope="module")
def job(system: System, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return Job(system, tmp_path_factory.mktemp("traced"))


def step(story: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in story["steps"] if each["name"] == name]
    return dict(found)


def agrees(story: dict[str, Any], outcome: dict[str, Any]) -> None:
    """With the outcome record that the sink got."""
    assert (story["outcome"], story["trace_id"]) == (outcome["outcome"], outcome["trace_id"])
    assert story["attempts"] == outcome["attempts"]
    assert abs(story["total_ms"] - outcome["latency_ms"]) < CLOCKS + 0.1 * outcome["latency_ms"]
    assert abs(sum(share["ms"] for share in story["spent"]) - story["total_ms"]) < 0.1, "no moment is counted twice"


def test_a_rejected_material(system: System, job: Job) -> None:
    for name in ("tr-cut", "tr-kind"):
        story, outcome = system.ask("trace", name), job.outcomes[name]
        agrees(story, outcome)
        assert story["outcome"] == "rejected"
        assert outcome["reason"].rstrip(".") in story["sentences"][0]
        assert story["kept"] == "rejected"
    assert step(system.ask("trace", "tr-cut"), "media")["error"] == job.outcomes["tr-cut"]["reason"][:300]
    assert "assign" not in {each["name"] for each in story["steps"]}, "it never reached the index"


def test_a_duplicate(system: System, job: Job) -> None:
    first, second = sorted(("tr-first", "tr-second"), key=lambda name: job.outcomes[name]["outcome"], reverse=True)
    story, outcome = system.ask("trace", second), job.outcomes[second]
    agrees(story, outcome)
    assert outcome["outcome"] == "duplicate"
    assert f"duplicate of {first}, with a score of {outcome['matched']['score']:.3f}" in story["sentences"][0]
    assert outcome["content_id"] == job.outcomes[first]["content_id"]
    assert outcome["content_id"] in story["sentences"][0]
    names = {each["name"] for each in story["steps"]}
    assert {"parse", "queue", "plugin", "assign", "index.decide", "publish"} <= names


def test_a_producers_trace_goes_on_and_every_step_is_there(system: System, job: Job) -> None:
    story = system.ask("trace", "tr-image")
    agrees(story, job.outcomes["tr-image"])
    assert story["trace_id"] == TRACE_ID
    assert system.ask("trace", TRACE_ID) == story
    call = step(story, "model.call")["attributes"]
    assert call["endpoint"].endswith(system.addresses.triton.rpartition(":")[2])
    assert (call["attempt"], call["version"]) == (1, "1")
    plugins = {each["attributes"]["plugin"] for each in story["steps"] if each["name"] == "plugin"}
    assert plugins == {"image-embedding@1", "image-pdq@1", "image-local@1"}
    prepared = {each["attributes"]["plugin"] for each in story["steps"] if each["name"] == "prepare"}
    assert prepared == {"image-embedding", "image-pdq", "image-local"}, "told by the decode child"
    for inner, outer in (("decode.pixels", "media"), ("model.call", "model"), ("index.decide", "assign")):
        one, other = step(story, inner), step(story, outer)
        assert other["start_ms"] - 0.01 <= one["start_ms"]
        assert one["start_ms"] + one["ms"] <= other["start_ms"] + other["ms"] + 0.01


def through(system: System, folder: Path, record: dict[str, Any], **changed: str) -> dict[str, Any]:
    """What one operator of a job makes of a record, with other addresses for some parts."""
    write_job(folder, [record], "one")
    spec = write_spec(folder, "one", retry={"attempts": 3, "base_s": 0.4, "max_s": 0.4})
    addresses = msgspec.json.encode(msgspec.structs.asdict(system.addresses) | changed).decode()
    script = Path(understand_one.__file__)
    command = [sys.executable, str(script), str(spec), str(system.state), addresses, json.dumps(record)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # the log comes before it
    return outcome


def test_a_slow_material(system: System, tmp_path: Path) -> None:
    host, port = host_port(system.addresses.index)
    with tampering(host, port) as proxy:
        proxy.hold_s = 0.6
        record = {"material_id": "tr-slow", "kind": "post", "text": "Snow on the pass; the bus turned round at noon."}
        outcome = through(system, tmp_path, record, index=f"127.0.0.1:{proxy.port}")
    story = system.ask("trace", "tr-slow")
    agrees(story, outcome)
    assert outcome["latency_ms"] >= 1000, "an HTTP/2 connection hears its server at least twice before the answer"
    assert story["kept"] == "slow"
    longest = story["spent"][0]
    assert longest["name"] == "assign.call", "the way to the index, and neither its writer nor its decision"
    assert longest["ms"] >= 0.9 * (outcome["latency_ms"] - 400)
    assert longest["what"] in story["sentences"][-1]
    assert step(story, "index.decide")["ms"] < 600


def test_a_retried_material(system: System, tmp_path: Path) -> None:
    url = urlsplit(system.addresses.redis)
    assert url.hostname is not None
    assert url.port is not None
    with tampering(url.hostname, url.port) as proxy:
        proxy.cut = 1
        record = {"material_id": "tr-retried", "kind": "post", "text": "Three herons stood on the weir all morning."}
        outcome = through(system, tmp_path, record, redis=f"redis://127.0.0.1:{proxy.port}/0")
        assert proxy.cuts_made == 1
    story = system.ask("trace", "tr-retried")
    agrees(story, outcome)
    assert (outcome["outcome"], outcome["attempts"]) == ("unique", 2)
    assert story["kept"] == "retried"
    first, second = (each for each in story["steps"] if each["name"] == "attempt")
    assert "Redis did not take 1 outcomes" in first["error"]
    assert not second["error"]
    assert "Attempt 1 failed" in story["sentences"][1]
    assert "at Redis" in story["sentences"][1]
    pause = step(story, "backoff")
    assert 0 <= pause["ms"] <= 400
    assert second["start_ms"] >= first["start_ms"] + first["ms"] + pause["ms"] - 0.01
    assert len([each for each in story["steps"] if each["name"] == "publish"]) == 2
    step(story, "assign")  # once: what the first attempt finished is not done again


def test_for_people_it_fits_one_screen_and_a_page(system: System, job: Job, tmp_path: Path) -> None:
    shown = sosie("trace", "tr-image", "--state", system.state, code=0, COLUMNS="120").stdout
    assert len(shown.splitlines()) <= 50
    assert all(len(line) <= 120 for line in shown.splitlines())
    assert "call to" in shown
    page = tmp_path / "why.html"
    system.sosie("trace", "tr-cut", "--out", page)
    text = page.read_text()
    assert "Rejected after" in text
    assert "medium &#x27;cut.jpg&#x27;" in text
    assert "tr-nobody" in sosie("trace", "tr-nobody", "--state", system.state, code=2).stderr
