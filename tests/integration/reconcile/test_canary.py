"""A canary flies through a job that goes on, by its folder or its topic, and the report says what became of it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka_broker import Broker
from model_servers import wait_until
from sosie_system import System, results, start_sosie, write_spec

pytestmark = [pytest.mark.stack, pytest.mark.soak, pytest.mark.timeout(600)]
Start = Callable[[Path], "subprocess.Popen[bytes]"]


@pytest.fixture
def running(system: System, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(spec: Path) -> subprocess.Popen[bytes]:
        with (tmp_path / "job.log").open("wb") as log:
            arguments = ("run", spec, "--state", system.state, "--json")
            started.append(start_sosie(*arguments, stdout=log, stderr=log, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def canaries(system: System, since: str) -> dict[str, str]:
    code, told = system.either(
        "reconcile", "run", "--window", "1h", "--from", since, "--sample", "0", "--json", "--state", system.state
    )
    assert code in (0, 3), told
    report: dict[str, Any] = json.loads(told)
    return dict(report["canaries"])


def of_job(told: dict[str, str], job: str) -> str:
    [one] = [word for window, word in told.items() if window.startswith(f"{job}, ")]
    return one


def test_a_canary_goes_through_a_watched_folder_once_a_window(system: System, running: Start, tmp_path: Path) -> None:
    since = datetime.now(UTC).isoformat()
    (tmp_path / "input").mkdir()
    source = {"kind": "files", "path": "input", "watch": True}
    running(write_spec(tmp_path, "coalmine", source=source, plugins=["text-embedding"]))
    first = tmp_path / "input" / "first.jsonl"
    first.write_text('{"material_id": "coal-1", "kind": "post", "text": "Miners took finches down with them, too."}\n')
    wait_until(lambda: bool(results(tmp_path, "coalmine")), 90, "the job works")
    assert of_job(canaries(system, since), "coalmine").startswith("answered: both have feed-")
    of_job(canaries(system, since), "coalmine")
    pairs = list((tmp_path / "input").glob("sosie-canary-*.jsonl"))
    assert len(pairs) <= 2, "one for each window, and an hour may have ended meanwhile"


def test_a_canary_goes_through_a_topic_once_a_window(
    system: System, running: Start, broker: Broker, tmp_path: Path
) -> None:
    since = datetime.now(UTC).isoformat()
    source = {"kind": "kafka", "bootstrap": broker.address, "topics": ["coal-i", "coal-p"], "start": "earliest"}
    sink = {"kind": "kafka", "bootstrap": broker.address, "topic": "coal-results"}
    spec = write_spec(tmp_path, "coaltopic", source=source, sink=sink, plugins=["text-embedding"])
    system.ask("topics", "create", spec)
    line = b'{"material_id": "coal-2", "kind": "post", "text": "Finches were cheaper than canaries in 1911."}'
    broker.send("coal-p", [("coal-2", line, {})])
    running(spec)
    broker.read(["coal-results"], 1)
    assert of_job(canaries(system, since), "coaltopic").startswith("answered: both have feed-")
    of_job(canaries(system, since), "coaltopic")
    answers = [json.loads(one.value or b"{}") for one in broker.read(["coal-results"], 3)]
    flown = sorted(one["material_id"] for one in answers if one["material_id"].startswith("sosie-canary.coaltopic."))
    assert len(flown) == len(set(flown)), "none was sent twice"
    assert {name.rpartition(".")[2] for name in flown} == {"a", "b"}
