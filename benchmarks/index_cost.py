"""CPU that the index service spends on one item: the real server on a temporary folder, one caller, calls of eight.

    .venv/bin/python benchmarks/index_cost.py [--items 3000] [--call 8] [--runs 3]

Every call is its own durable transaction. The last line is JSON: `cpu_ms` (of the server process, an item; median of
the runs, each on a fresh folder and after a warm-up of a tenth of the items), `runs`, `items_per_s`, `call`, `n`.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy, in this process and in the server

import argparse
import asyncio
import hashlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from materials.records import AssignItem, Feature
from vector_index.client import AsyncIndexClient

_DIMENSIONS = 256
_PER_CLUSTER = 60
_SPREAD = (0.2, 1.0)


def clustered_items(count: int, seed: int = 7) -> list[AssignItem]:
    """Images as crops of photos are: `_PER_CLUSTER` views of one scene, from close copies to mere relatives."""
    rng = np.random.default_rng(seed)
    scenes = rng.standard_normal((max(1, count // _PER_CLUSTER), _DIMENSIONS))
    spread = rng.uniform(*_SPREAD, (count, 1))
    views = scenes[rng.integers(len(scenes), size=count)] + spread * rng.standard_normal((count, _DIMENSIONS))
    units = (views / np.linalg.norm(views, axis=1, keepdims=True)).astype(np.float32)
    return [
        AssignItem(
            material_id=f"view-{i}",
            kind="image",
            policy="feed",
            fingerprint=hashlib.blake2b(unit.tobytes(), digest_size=16).digest(),
            features={"image-embedding@1": Feature.of("vector", unit)},
        )
        for i, unit in enumerate(units)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _assign_all(client: AsyncIndexClient, items: Sequence[AssignItem], call: int) -> None:
    for start in range(0, len(items), call):
        await client.assign(items[start : start + call])


async def measured(address: str, server: psutil.Process, items: Sequence[AssignItem], call: int) -> tuple[float, float]:
    """(CPU ms of the server an item, items a second), without the first tenth."""
    warm = len(items) // 10
    async with AsyncIndexClient(address) as client:
        await _assign_all(client, items[:warm], call)
        cpu, clock = _cpu_s(server), time.monotonic()
        await _assign_all(client, items[warm:], call)
        cpu, clock = _cpu_s(server) - cpu, time.monotonic() - clock
        stats = await client.stats()
    if stats["materials"] != len(items):
        raise SystemExit(f"the index holds {stats['materials']} of {len(items)} items")
    print(
        f"{cpu * 1000 / (len(items) - warm):.3f} ms an item, {(len(items) - warm) / clock:.0f}/s, "
        f"{stats['content_ids']} content IDs, {stats['counters'].get('pairs_ranked', 0)} pairs",
        flush=True,
    )
    return cpu * 1000 / (len(items) - warm), (len(items) - warm) / clock


def one_run(items: Sequence[AssignItem], call: int) -> tuple[float, float]:
    """A fresh server on a fresh folder; as `measured`."""
    with tempfile.TemporaryDirectory(prefix="sosie-index-cost-") as folder:
        address = f"127.0.0.1:{_free_port()}"
        command = [sys.executable, "-m", "vector_index.server", "--state", folder, "--listen", address]
        with subprocess.Popen(
            command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1]
        ) as server:
            try:
                return asyncio.run(measured(address, psutil.Process(server.pid), items, call))
            finally:
                server.terminate()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--call", type=int, default=8, help="items of one assign call")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    items = clustered_items(args.items)
    costs, rates = zip(*(one_run(items, args.call) for _ in range(args.runs)), strict=True)
    answer = {
        "cpu_ms": round(statistics.median(costs), 4),
        "runs": [round(cost, 4) for cost in costs],
        "items_per_s": round(statistics.median(rates), 1),
        "call": args.call,
        "n": args.items,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
