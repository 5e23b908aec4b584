"""`kill -9` of the index service, between jobs and in the middle of one: no ID changes, nothing is lost or added."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from deploy import stack
from deploy.addresses import Addresses
from vector_index.client import IndexClient

pytestmark = [pytest.mark.stack, pytest.mark.fault]
COUNT = 600


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Addresses]]:
    state = tmp_path_factory.mktemp("killed")
    addresses = stack.up(state)
    try:
        yield state, addresses
    finally:
        stack.down(state)


def write_texts(folder: Path, name: str) -> Path:
    words = ["harbour", "copper", "pelican", "lantern", "meadow", "thunder", "velvet", "orchard", "granite", "whisper"]
    (folder / f"{name}.jsonl").write_text(
        "".join(
            json.dumps({"material_id": f"k{i}", "kind": "post", "text": _text(i // 2, words)}) + "\n"
            for i in range(COUNT)
        )
    )
    spec = {
        "name": name,
        "source": {"kind": "files", "path": f"{name}.jsonl"},
        "sink": {"kind": "files", "path": f"out-{name}"},
        "plugins": ["text-embedding"],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def _text(i: int, words: list[str]) -> str:
    return " ".join(words[(i // 10**k + k * k) % 10] + words[(i * (k + 3) + k) % 10] for k in range(6))


def run(state: Path, spec: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pipeline.cli.main", "run", str(spec), "--state", str(state), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert (summary["lines"], sum(summary["outcomes"].values())) == (COUNT, COUNT)
    files = sorted(Path(summary["results"]).glob(f"{summary['run_id']}*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def kill_index(state: Path) -> None:
    pid = next(part.pid for part in stack.status(state) if part.name == "index")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def ids(found: list[dict[str, Any]]) -> dict[str, str]:
    return {r["material_id"]: r["content_id"] for r in found}


def test_content_ids_survive_index_killed_in_the_middle_of_a_job_and_between_jobs(
    system: tuple[Path, Addresses], tmp_path: Path
) -> None:
    state, addresses = system
    connection = redis.Redis.from_url(addresses.redis)
    killed = threading.Event()

    def kill_when_a_third_is_done() -> None:
        while not killed.is_set():
            for key in connection.scan_iter("sosie:job:first-*"):
                if sum(int(v) for v in connection.hvals(key)) >= COUNT // 3:
                    kill_index(state)
                    killed.set()
                    return
            killed.wait(0.005)

    killer = threading.Thread(target=kill_when_a_third_is_done)
    killer.start()
    try:
        first = run(state, write_texts(tmp_path, "first"))
        assert killed.is_set()
    finally:
        killed.set()
        killer.join()
        connection.close()
    assert len(ids(first)) == COUNT
    client = IndexClient(addresses.index)
    stored = client.stats()["materials"]
    assert stored == COUNT
    kill_index(state)
    second = run(state, write_texts(tmp_path, "second"))
    assert ids(second) == ids(first)
    assert client.stats()["materials"] == stored
    client.close()
