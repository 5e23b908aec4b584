"""Records whose model calls fail wait in Redis and come back: on the real stack, before a model server that refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from model_servers import wait_until
from scenes import scene, write_jpeg
from sosie_system import COMMAND, System, results, write_job

from benchmarks.flaky_models import FlakyModels
from deploy import stack
from deploy.addresses import GivenAddresses
from deploy.parts.retry_pump import NAME as PUMP
from reconcile.retry import folders, keys

pytestmark = [pytest.mark.stack, pytest.mark.fault]
COUNT = 24
QUICK = {"interval_s": 1.0, "min_pause_s": 0.1}
PLUGINS = ["image-embedding", "image-pdq", "text-embedding"]


@pytest.fixture(scope="module")
def flaky(system: System) -> Iterator[FlakyModels]:
    with FlakyModels(system.addresses.triton, 0.0) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def shaky(flaky: FlakyModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own, whose only model server is the flaky one."""
    state = tmp_path_factory.mktemp("shaky")
    addresses = stack.up(state, GivenAddresses(triton=flaky.address))
    try:
        yield System(state, addresses)
    finally:
        stack.down(state)


def images(folder: Path, tag: str, count: int) -> list[dict[str, Any]]:
    for number in range(count):
        write_jpeg(folder / "input" / "pictures" / f"{number}.jpg", scene(hash_of(tag) + number, 96, 96))
    return [
        {"material_id": f"{tag}-{number}", "kind": "image", "media": [f"pictures/{number}.jpg"], "biz": "shop"}
        for number in range(count)
    ]


def hash_of(tag: str) -> int:
    return sum(tag.encode()) * 100


def retry(attempts: int, base_s: float) -> dict[str, Any]:
    return {"attempts": 1, "queue": {"attempts": attempts, "base_s": base_s, "max_s": base_s}}


@pytest.fixture
def store(shaky: System) -> Iterator[Any]:
    connection = redis.Redis.from_url(shaky.addresses.redis)
    yield connection
    connection.close()


def kill_pump_when_something_came(shaky: System, flaky: FlakyModels, store: Any, over: threading.Event) -> int:
    """The entries of that moment wait, are on their way back, or have just left. Then most calls succeed again."""
    killed, before = 0, store.zcard(keys.INGESTED)
    while not over.wait(0.02):
        if not killed and store.zcard(keys.INGESTED) > before:
            pid = next(part.pid for part in stack.status(shaky.state) if part.name == PUMP)
            os.kill(pid, signal.SIGKILL)
            flaky.share = 0.2
            killed += 1
    return killed


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_all_succeed_in_the_end_with_one_outcome_each_although_the_pump_is_killed(
    shaky: System, flaky: FlakyModels, store: Any, tmp_path: Path, mode: str
) -> None:
    flaky.share = 1.0
    records = images(tmp_path, mode, COUNT)
    records += [{"material_id": f"{mode}-post", "kind": "post", "text": "A lantern hung over the quiet harbour wall."}]
    spec = write_job(tmp_path, records, mode, mode=mode, plugins=PLUGINS, retry=retry(60, 1.0), **checkpoints_of(mode))
    over, killed = threading.Event(), []
    killer = threading.Thread(target=lambda: killed.append(kill_pump_when_something_came(shaky, flaky, store, over)))
    killer.start()
    try:
        summary = shaky.run(spec)
    finally:
        over.set()
        killer.join()
    found = results(tmp_path, mode)
    assert killed == [1]
    assert (summary["lines"], len(found)) == (len(records), len(records))
    assert {r["material_id"] for r in found} == {r["material_id"] for r in records}
    assert {r["outcome"] for r in found} <= {"unique", "duplicate"}
    attempts = {r["material_id"]: r["attempts"] for r in found}
    assert all(attempts[f"{mode}-{number}"] > 1 for number in range(COUNT)), "each failed at first"
    assert attempts[f"{mode}-post"] == 1, "what calls no model fails on none"
    assert store.hlen(keys.ENTRIES) == 0
    assert folders.handed_files(shaky.state) == []


def checkpoints_of(mode: str) -> dict[str, Any]:
    return {"checkpoints": QUICK} if mode == "streaming" else {}


def test_a_person_lists_hurries_and_drops_what_waits(
    shaky: System, flaky: FlakyModels, store: Any, tmp_path: Path
) -> None:
    flaky.share = 1.0
    spec = write_job(
        tmp_path,
        images(tmp_path, "person", 4),
        "person",
        plugins=PLUGINS,
        retry=retry(60, 10_000.0),
        checkpoints=QUICK,
    )
    with (tmp_path / "said").open("wb") as said:
        running = subprocess.Popen(
            [*COMMAND, "run", str(spec), "--state", str(shaky.state), "--json"], stdout=said, stderr=said
        )
        try:
            wait_until(lambda: running.poll() is not None or store.hlen(keys.ENTRIES) == 4, 200, "all four wait")
            told = shaky.ask("retry", "list", "--plugin", "image-embedding", "--biz", "shop")
            assert told["waiting"] == 4
            assert {row["attempt"] for row in told["entries"]} == {1}
            assert "refused at random" in told["entries"][0]["message"]
            assert shaky.ask("retry", "list", "--older", "1h")["waiting"] == 0
            assert "person-0" in shaky.sosie("retry", "list")
            assert "attempt 2" in shaky.sosie("content", "get", "person-0", code=1)
            assert "attempt 2" in shaky.sosie("content", "explain", "person-0", "person-1", code=1)
            assert "nobody-here" not in shaky.sosie("retry", "replay", "nobody-here", code=1)
            flaky.share = 0.0
            assert shaky.ask("retry", "replay", "person-0", "person-1")["matched"] == 2
            assert "say which records" in shaky_error(shaky)
            shaky.ask("retry", "drop", "person-2", "person-3", "--why", "spam", "--by", "anna")
            assert running.wait(200) == 3, (tmp_path / "said").read_text()
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
    found = {r["material_id"]: r for r in results(tmp_path, "person")}
    assert {name: (r["outcome"], r["attempts"]) for name, r in found.items()} == {
        "person-0": ("unique", 2),
        "person-1": ("unique", 2),
        "person-2": ("dead", 1),
        "person-3": ("dead", 1),
    }
    reason = found["person-2"]["reason"]
    assert reason.startswith("dropped: by anna: spam; last error: "), reason
    assert "refused at random" in reason
    dead = [
        json.loads(line)
        for file in (tmp_path / "out-person" / "dead").glob("*")
        for line in file.read_text().splitlines()
    ]
    assert {each["record"]["material_id"] for each in dead} == {"person-2", "person-3"}
    assert "nothing waits" in shaky.sosie("retry", "list")


def shaky_error(shaky: System) -> str:
    done = subprocess.run(
        [*COMMAND, "retry", "drop", "--state", str(shaky.state)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    return done.stderr
