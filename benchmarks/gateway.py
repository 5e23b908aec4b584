"""Latency of look-ups over HTTP: one material, batches of 100 and 1,000, a page of members; one JSON line last.

    .venv/bin/python benchmarks/gateway.py --n 20000 --seconds 3

An index service with `n` materials and a gateway run as processes of their own; the client keeps one connection.
`cpu_ms`: CPU of gateway and index together for one request, which other programs on the machine do not change.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from deploy.addresses import GivenAddresses
from deploy.parts import valkey
from deploy.parts.part import Site
from deploy.ports import choose
from materials.records import AssignItem, Feature
from vector_index.client import IndexClient

DIM = 64
BATCH = 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--n", type=int, default=20_000, help="materials in the index")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each kind of request")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="sosie-gateway-") as folder,
        running(Path(folder)) as (index, address, pids),
    ):
        with IndexClient(index, deadline=120) as client:
            content_id = fill(client, options.n)
        measured = measure(address, pids, options.n, content_id, options.seconds)
    for name, row in measured.items():
        print(f"{name:16} p50 {row['p50_ms']:8.2f} ms   p99 {row['p99_ms']:8.2f} ms   CPU {row['cpu_ms']:7.2f} ms")
    print(json.dumps({"n": options.n, **measured}))


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, str, list[int]]]:
    """(index, gateway, pids of both), with a Redis."""
    ports = choose(3, random.Random())
    index, address = f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
    site = Site(folder, {valkey.NAME: {"client": ports[2]}}, GivenAddresses())
    store = valkey.PART.launch(site)
    parts = ["--index", index, "--redis", f"redis://127.0.0.1:{ports[2]}/0", "--zookeeper", "127.0.0.1:1"]
    commands = [
        (store.argv, store.cwd),
        ([sys.executable, "-m", "vector_index.server", "--state", str(folder / "index"), "--listen", index], None),
        ([sys.executable, "-m", "pipeline.gateway.server", "--state", str(folder), *parts, "--listen", address], None),
    ]
    quiet = subprocess.DEVNULL
    processes = [subprocess.Popen(argv, cwd=cwd, stdout=quiet, stderr=quiet) for argv, cwd in commands]
    try:
        with IndexClient(index, deadline=60) as client:
            client.stats()
        until_alive(address)
        yield index, address, [process.pid for process in processes[1:]]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def until_alive(address: str) -> None:
    """Wait for the gateway."""
    while True:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()


def fill(client: IndexClient, n: int) -> str:
    """Random unit vectors; every hundredth material is a copy of the first. Returns the content ID of these."""
    rng = np.random.default_rng(0)
    content_id = ""
    first = rng.standard_normal(DIM)
    for start in range(0, n, BATCH):
        items = []
        for number in range(start, min(start + BATCH, n)):
            vector = first if number % 100 == 0 else rng.standard_normal(DIM)
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            features = {"bench@1": Feature.of("vector", unit)}
            items.append(
                AssignItem(
                    material_id=f"M{number}", kind="image", policy="feed", fingerprint=bytes(16), features=features
                )
            )
        content_id = content_id or client.assign(items)[0].content_id
        if start:
            client.assign(items)
    return content_id


def measure(address: str, pids: list[int], n: int, content_id: str, seconds: float) -> dict[str, dict[str, float]]:
    """By kind of request."""
    rng = random.Random(1)
    connection = http.client.HTTPConnection(address, timeout=60)

    def ask(method: str, path: str, body: bytes | None = None) -> None:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answers {answer.status}")

    def batch(size: int) -> Callable[[], None]:
        return lambda: ask(
            "POST", "/v1/lookup", json.dumps({"material_ids": [f"M{rng.randrange(n)}" for _ in range(size)]}).encode()
        )

    kinds: dict[str, Callable[[], None]] = {
        "one": lambda: ask("GET", f"/v1/materials/M{rng.randrange(n)}"),
        "batch_100": batch(100),
        "batch_1000": batch(1000),
        "members_100": lambda: ask("GET", f"/v1/content/{content_id}/members?limit=100"),
    }
    measured = {}
    for name, request in kinds.items():
        request()  # the first one opens connections
        taken: list[float] = []
        before, end = cpu_seconds(pids), time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            request()
            taken.append(time.perf_counter() - began)
        cpu = (cpu_seconds(pids) - before) / len(taken)
        p50, p99 = np.percentile(taken, [50, 99])
        measured[name] = {
            "p50_ms": round(float(p50) * 1e3, 3),
            "p99_ms": round(float(p99) * 1e3, 3),
            "cpu_ms": round(cpu * 1e3, 3),
        }
    return measured


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(each.user + each.system for each in times))


if __name__ == "__main__":
    main()
