"""Jobs on a real broker: several topics in, keyed results out, a rule that changes while the job runs, offsets kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka_broker import (
    PASSWORD,
    Broker,
    by_key,
    commit,
    committed,
    expire,
    login,
    made_on_a_busy_broker,
    offsets,
    visible_topics,
)
from photos import photo
from readme import examples
from scenes import write_jpeg
from sosie_system import System, results, sosie, start_sosie

from deploy.flink import start_session_cluster
from deploy.record import PartRecord, StackRecord, save
from materials.errors import SosieError
from materials.parsing import parse_line
from reconcile.ledger.rows import rows_folder

pytestmark = pytest.mark.stack
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01".encode()}
TEXT = "A heron stood in the shallow water near Arles, and number {} of its kind flew over the canal at noon."


def post(name: str, **more: Any) -> tuple[str, bytes, dict[str, bytes]]:
    record = {"material_id": name, "kind": "post", "text": TEXT.format(name)} | more
    return name, json.dumps(record).encode(), HEADERS


def write_spec(folder: Path, broker: Broker, name: str, sink: dict[str, Any], **source: Any) -> Path:
    spec = {
        "name": name,
        "source": {"kind": "kafka", "bootstrap": broker.address, "base": str(folder)} | source,
        "sink": sink,
        "plugins": ["image-embedding", "text-embedding"],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        started.append(start_sosie(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_running_job_takes_what_comes_and_follows_a_changed_rule(
    system: System, broker: Broker, tmp_path: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    sink = {"kind": "kafka", "bootstrap": broker.address, "topic": "k1-results", "features": "k1-features"}
    spec = write_spec(tmp_path, broker, "k1", sink, topics=["k1-images", "k1-posts"], start="earliest")
    write_jpeg(tmp_path / "a.jpg", photo("coffee"))
    made = system.ask("topics", "create", spec)["made"]
    assert sorted(made) == ["k1-features", "k1-images", "k1-posts", "k1-results", "k1-results-dead"]
    image = json.dumps({"material_id": "k1-i", "kind": "image", "media": ["a.jpg"]}).encode()
    broker.send("k1-images", [("k1-i", image, {})])
    broker.send("k1-posts", [post("k1-a", biz="ads"), post("k1-b"), (None, b"{broken", {}), ("tomb", None, {})])

    job = running("run", spec, "--state", system.state, "--json")
    first = broker.read(["k1-results"], 5)
    found = by_key(first)
    unreadable = {key for key in found if key.startswith("@k1-posts-")}
    assert set(found) == {"k1-i", "k1-a", "k1-b"} | unreadable
    assert len(unreadable) == 2
    for key, record in found.items():
        outcome = json.loads(record.value)
        assert outcome["material_id"] == key
        assert outcome["outcome"] in (("rejected",) if key in unreadable else ("unique", "duplicate"))
        origin = record.headers["origin"].decode()
        assert f"@{origin}" == key if key in unreadable else origin.startswith("k1-")
    assert json.loads(found["k1-a"].value)["trace_id"] == found["k1-a"].headers["trace_id"].decode() == TRACE
    features = by_key(broker.read(["k1-features"], 3))
    assert set(features) == {"k1-i", "k1-a", "k1-b"}
    assert "image-embedding@1" in json.loads(features["k1-i"].value)["features"]["k1-i"]

    told = system.ask("topics", "set", spec, "--field", "biz", "--to", "ads=k1-ads")
    assert told["made"] == ["k1-ads"]
    ads = _until_routed(broker, "k1-ads", "k1-posts", biz="ads")
    assert all(key.startswith("k1-ads-") for key in ads)
    system.ask("topics", "clear", spec)
    assert system.ask("topics", "show", spec)["rule"] is None

    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=90)
    assert job.returncode == 0, err
    summary = json.loads(out)
    assert sum(summary["outcomes"].values()) == summary["lines"]
    assert summary["outcomes"]["rejected"] == 2
    assert summary["reasons"] == {"rejected": {"broken_json": 2}}


def _until_routed(broker: Broker, topic: str, source: str, **fields: Any) -> dict[str, Any]:
    """Send until a result comes out at `topic`: a rule is followed within a second, at no exact moment."""
    end = time.monotonic() + 90
    number = 0
    while time.monotonic() < end:
        broker.send(source, [post(f"k1-ads-{number}", **fields)])
        number += 1
        if found := broker.read([topic], 1, seconds=2.0):
            return by_key(found)
    raise AssertionError(f"nothing came to {topic}")


def test_a_bounded_run_ends_and_commits_where_it_ended(
    system: System, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOSIE_KAFKA_PASSWORD", PASSWORD)
    broker.topics("k2-posts", "k2-empty")
    sink = {"kind": "files", "path": str(tmp_path / "out-k2")}
    source = {
        "topics": ["k2-posts", "k2-empty"],
        "bootstrap": broker.login_address,
        "properties": login("${SOSIE_KAFKA_PASSWORD}"),
        "bounded": True,
    }
    spec = write_spec(tmp_path, broker, "k2", sink, **source)
    broker.send("k2-posts", [post(f"k2-{i}") for i in range(5)])
    since = f"--from={datetime.now(UTC).isoformat()}"
    assert system.run(spec)["lines"] == 5
    assert {r["material_id"] for r in results(tmp_path, "k2")} == {f"k2-{i}" for i in range(5)}
    ends = broker.ask(offsets, broker.address, "k2-posts", "latest")
    done = broker.ask(committed, broker.address, "sosie-k2")["k2-posts"]
    assert {p: done.get(p, 0) for p in ends} == ends
    report = reconcile(system, since)
    totals = report["totals"]
    assert (totals["expected"] - totals["terminal"], totals["gap"], totals["completeness"]) == (0, 0, 1.0)
    assert (report["uncounted"], named(report, "k2-")) == ({}, set())
    told = [p for p in system.state.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()]
    assert told == []
    monkeypatch.delenv("SOSIE_KAFKA_PASSWORD")
    [(run, why)] = reconcile(system, since)["uncounted"].items()
    assert run.startswith("k2-")
    assert "SOSIE_KAFKA_PASSWORD, which this environment does not have" in why


@pytest.mark.soak
def test_a_batch_job_on_a_session_cluster_begins_at_a_time(system: System, broker: Broker, tmp_path: Path) -> None:
    broker.topics("k3-posts")
    broker.send("k3-posts", [post("k3-before")])
    time.sleep(0.05)  # record timestamps are whole milliseconds
    start = time.time()
    broker.send("k3-posts", [post(f"k3-{i}") for i in range(4)])
    sink = {"kind": "kafka", "bootstrap": broker.address, "topic": "k3-results"}
    more = {"topic": "k3-posts", "bounded": True, "start": "timestamp", "start_at": start}
    spec = write_spec(tmp_path, broker, "k3", sink, **more)
    spec.write_text(spec.read_text() + "mode: batch\n")
    with start_session_cluster(tmp_path / "flink", slots=1) as cluster:
        summary = json.loads(system.sosie("submit", spec, "--cluster", cluster.rest_url, "--wait", "--json"))
    assert summary["lines"] == sum(summary["outcomes"].values()) == 4
    assert summary["results"] == "kafka:k3-results"
    assert set(by_key(broker.read(["k3-results"], 4))) == {f"k3-{i}" for i in range(4)}


@pytest.mark.soak
def test_reconciliation_counts_topics_again_and_names_what_was_planted(
    system: System, broker: Broker, tmp_path: Path
) -> None:
    broker.topics("k5-posts")
    sink = {"kind": "kafka", "bootstrap": broker.address, "topic": "k5-results"}
    spec = write_spec(tmp_path, broker, "k5", sink, topic="k5-posts", bounded=True)
    broker.send("k5-posts", [*(post(f"k5-{i}") for i in range(6)), (None, b"\xff{", {}), ("tomb", None, {})])
    since = f"--from={datetime.now(UTC).isoformat()}"
    run_id = system.run(spec)["run_id"]
    broker.send("k5-posts", [post("k5-after-the-end")])
    written = broker.read(["k5-results"], 8)
    assert len(written) == 8

    clean = reconcile(system, since)
    assert run_id in clean["runs"]
    assert clean["uncounted"] == {}
    totals = clean["totals"]
    assert totals["expected"] == totals["terminal"] >= 8, "other tests may have run in the same minute"
    assert (totals["gap"], totals["completeness"]) == (0, 1.0)
    assert named(clean, "k5-") == set()

    # the same answer once more is at-least-once delivery; another answer is a fault
    [first] = [record for record in written if record.key == "k5-0"]
    other = json.dumps(json.loads(first.value) | {"content_id": "feed-planted"}).encode()
    broker.send("k5-results", [("k5-0", first.value, first.headers), ("k5-0", other, first.headers)])
    planted = reconcile(system, since)
    assert named(planted, "k5-") == {("k5-0", "doubled")}
    assert planted["totals"]["expected"] == totals["expected"]


def reconcile(system: System, *more: str) -> dict[str, Any]:
    """The report of the minutes since then; other tests use the same system."""
    asked = ("reconcile", "run", "--window", "1m", *more, "--json", "--state", system.state)
    code, told = system.either(*asked)
    assert code in (0, 3), told
    report: dict[str, Any] = json.loads(told)
    return report


def named(report: dict[str, Any], prefix: str) -> set[tuple[str, str]]:
    """Discrepancies of this test's records."""
    found = {(one["material_id"], one["name"]) for one in report["discrepancies"]}
    return {one for one in found if one[0].startswith((prefix, f"@{prefix}"))}


@pytest.mark.soak
def test_a_run_whose_records_have_expired_is_named_and_the_others_are_compared(
    system: System, broker: Broker, tmp_path: Path
) -> None:
    broker.topics("k8-posts", "k9-posts")
    since = f"--from={datetime.now(UTC).isoformat()}"
    runs = []
    for name in ("k8", "k9"):
        broker.send(f"{name}-posts", [post(f"{name}-{i}") for i in range(4)])
        sink = {"kind": "files", "path": str(tmp_path / f"out-{name}")}
        spec = write_spec(tmp_path, broker, name, sink, topic=f"{name}-posts", bounded=True)
        runs.append(system.run(spec)["run_id"])
    broker.ask(expire, broker.address, "k8-posts", 1)

    report = reconcile(system, since)
    assert set(report["uncounted"]) == {runs[0]}
    assert "those between them have expired" in report["uncounted"][runs[0]]
    assert runs[1] in report["runs"]
    assert named(report, "k9-") == set()
    missed = {one["name"] for one in report["objectives"] if not one["met"]}
    assert missed == {"runs that cannot be counted"}


@pytest.mark.soak
def test_what_a_run_on_a_topic_lost_is_found_and_replayed(system: System, broker: Broker, tmp_path: Path) -> None:
    broker.topics("k7-posts")
    sink = {"kind": "files", "path": str(tmp_path / "out-k7")}
    spec = write_spec(tmp_path, broker, "k7", sink, topic="k7-posts", bounded=True)
    broker.send("k7-posts", [post(f"k7-{i}") for i in range(4)])
    since = f"--from={datetime.now(UTC).isoformat()}"
    run_id = system.run(spec)["run_id"]
    folders = (tmp_path / "out-k7" / "results", rows_folder(system.state))
    for file in (path for folder in folders for path in folder.glob(f"{run_id}*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        kept = [row for row in rows if row["material_id"] != "k7-2" or row.get("stage") == "entered"]
        file.write_text("".join(json.dumps(row) + "\n" for row in kept))

    before = reconcile(system, since)
    assert named(before, "k7-") == {("k7-2", "lost")}
    assert before["totals"]["gap"] == 1
    after = reconcile(system, since, "--repair")
    assert named(after, "k7-") == set()
    assert (after["totals"]["gap"], after["totals"]["completeness"]) == (0, 1.0)
    assert sorted(one["material_id"] for one in results(tmp_path, "k7")) == [f"k7-{i}" for i in range(4)]


def test_a_topic_that_is_not_there_is_told_before_anything_runs(system: System, broker: Broker, tmp_path: Path) -> None:
    sink = {"kind": "kafka", "bootstrap": broker.address, "topic": "k4-results"}
    done = sosie("run", write_spec(tmp_path, broker, "k4", sink, topic="k4"), "--state", system.state, code=2)
    assert "no topic k4" in done.stderr
    assert "sosie topics create" in done.stderr


def test_the_page_puts_records_into_a_topic(broker: Broker, tmp_path: Path) -> None:
    _, code = examples("docs/kafka.md")["put"]
    script = tmp_path / "put.py"
    script.write_text(code)
    parts = {"kafka": PartRecord(name="kafka", state="given", address=broker.address)}
    save(tmp_path / "state", StackRecord(ready=True, parts=parts))
    broker.topics("k9")
    command = [sys.executable, str(script), str(tmp_path / "state"), "k9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 records are in k9\n"
    found = by_key(broker.read(["k9"], 2))
    for key in ("P1", "P2"):
        assert parse_line(found[key].value, "k9:0").material_id == key


def test_the_admin_logs_in_with_a_secret_out_of_a_file(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "right").write_text(PASSWORD)
    (tmp_path / "wrong").write_text("no")
    assert isinstance(broker.ask(visible_topics, broker.login_address, login(f"${{file:{tmp_path}/right}}")), set)
    with pytest.raises(SosieError, match="Authentication") as caught:
        broker.ask(visible_topics, broker.login_address, login(f"${{file:{tmp_path}/wrong}}"))
    assert PASSWORD not in str(caught.value)


def test_a_topic_is_there_once_it_was_made_though_a_busy_broker_tells_of_it_late(broker: Broker) -> None:
    made, told = broker.ask(made_on_a_busy_broker, broker.address, "k7-late")
    assert made == ["k7-late"]
    assert "k7-late" in told


def test_offsets_at_both_ends_and_at_a_time(broker: Broker) -> None:
    assert broker.topics("k6", partitions=1) == ["k6"]
    assert broker.topics("k6", partitions=1) == []
    broker.send("k6", [post(f"k6-{i}") for i in range(3)])
    later = int(time.time() * 1000) + 60_000
    assert [broker.ask(offsets, broker.address, "k6", at) for at in ("earliest", "latest", 0, later)] == [
        {0: 0},
        {0: 3},
        {0: 0},
        {0: 3},
    ]
    assert broker.ask(committed, broker.address, "k6-nobody") == {}
    for wanted in ({"k6": {0: 2}}, {}):
        broker.ask(commit, broker.address, "k6-somebody", wanted)
        assert broker.ask(committed, broker.address, "k6-somebody") == {"k6": {0: 2}}
