"""What storage costs: restart, memory, disk, and reads while segments are sealed, merged and written anew.

    .venv/bin/python benchmarks/segments.py --n 100000
    .venv/bin/python benchmarks/segments.py --n 1000000

One space of 256-dimensional vectors is filled as the service fills it, and its snapshot is kept under
`$SOSIE_BENCH_CACHE` (`~/.cache/sosie/benchmarks/index`). A fresh process then loads it, every checksum included, and
answers. Reads are single queries, one after the other, beside a writer that adds 32 vectors every 20 ms; `quiet` with
nothing in the background, `busy` while a fifth of all rows has been removed and the rest is written anew, and small
segments are sealed and merged meanwhile. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.index_bench.vectors import DIM, base_vectors, cache_folder, plant
from vector_index import snapshot
from vector_index.recall import Spaces
from vector_index.segments.settings import SegmentSettings
from vector_index.segments.store import SegmentedStore
from vector_index.spaces.dense import DenseSpace

KEY = "image-embedding@1"
VERSION = 1
CHUNK = 10_000
QUERIES = 4000
K = 30


def filled(n: int, memory: int) -> tuple[Path, float]:
    """A snapshot folder of n vectors, built when missing; and the seconds that took, 0 for one that was there."""
    final = cache_folder() / f"segments-{n}-{memory}-v{VERSION}-f{snapshot.FORMAT}"
    if final.exists():
        return final, 0.0
    started = time.monotonic()
    base = base_vectors(n)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as work:
        spaces = Spaces(home=Path(work) / "home", settings=SegmentSettings(memory=memory << 20))
        space = spaces.open(KEY, "vector")
        assert isinstance(space, DenseSpace)
        for start in range(0, n, CHUNK):
            space.store.add(np.arange(start + 1, min(n, start + CHUNK) + 1), np.asarray(base[start : start + CHUNK]))
        spaces.settle()
        snapshot.save(Path(work) / "snapshots", snapshot.freeze(spaces), {KEY: "vector"}, 1)
        spaces.close()
        (Path(work) / "snapshots").rename(final)
    return final, time.monotonic() - started


def restarted(folder: Path, memory: int) -> dict[str, float]:
    """In this process, which is fresh: load, answer once, then answer many queries."""

    began = time.monotonic() - (time.time() - psutil.Process().create_time())
    bare = psutil.Process().memory_info().rss
    used = time.process_time()
    home = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        settings = SegmentSettings(memory=memory << 20)
        spaces, _ = snapshot.load(folder / f"{1:012d}", home=home, settings=settings)
        space = spaces.get(KEY)
        assert isinstance(space, DenseSpace)
        queries = np.load(folder / "queries.npy")
        space.store.search(queries[:1], K)
        first, cpu = time.monotonic() - began, time.process_time() - used
        found = 0
        sources = np.load(folder / "sources.npy")
        used = time.process_time()
        for start in range(0, len(queries), 32):
            _, rows = space.store.search(queries[start : start + 32], K)
            found += int((rows == sources[start : start + 32, None] + 1).any(axis=1).sum())
        search = time.process_time() - used
        memory_now = psutil.Process().memory_info()
        files = [path.stat() for path in home.rglob("*") if path.is_file()]
        stats = space.store.stats()
        return {
            "first_answer_s": first,
            "load_cpu_s": cpu,
            "search_ms": search / len(queries) * 1e3,
            "found": found / len(queries),
            "segments": stats.segments,
            "process_before_bytes": bare,
            "rss_bytes": memory_now.rss,
            "disk_bytes": sum(stat.st_size for stat in files),
        }
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Pace(threading.Thread):
    """A writer: 32 fresh vectors every 20 ms."""

    def __init__(self, store: SegmentedStore, first: int) -> None:
        super().__init__(daemon=True)
        self._store = store
        self._next = first
        self._vectors = np.random.default_rng(3).standard_normal((8192, DIM)).astype(np.float32)
        self._vectors /= np.linalg.norm(self._vectors, axis=1, keepdims=True)
        self.over = threading.Event()

    def run(self) -> None:
        """Until `over`."""
        while not self.over.wait(0.02):
            place = self._next % (len(self._vectors) - 32)
            self._store.add(np.arange(self._next, self._next + 32), self._vectors[place : place + 32])
            self._next += 32


def latencies(store: SegmentedStore, queries: Any, seconds: float, while_busy: bool) -> tuple[list[float], int]:
    """Milliseconds of single queries; busy: as long as the background works, at least 5 s. And the rows added."""
    before = len(store)
    writer = Pace(store, 10**9)
    writer.start()
    taken: list[float] = []
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end or (while_busy and not store.settle(0)):
        began = time.perf_counter()
        store.search(queries[number % len(queries)][None], K)
        taken.append((time.perf_counter() - began) * 1e3)
        number += 1
    writer.over.set()
    writer.join()
    return taken, len(store) - before


def read_beside_builds(folder: Path, n: int, memory: int) -> dict[str, float]:
    """p50 and p99 of reads, quiet and busy."""
    home = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        settings = SegmentSettings(memory=memory << 20, seal_rows=8192, least_sealed=4096)
        spaces, _ = snapshot.load(folder / f"{1:012d}", home=home, settings=settings)
        space = spaces.get(KEY)
        assert isinstance(space, DenseSpace)
        store = space.store
        queries = np.load(folder / "queries.npy")
        store.search(queries[:200], K)
        quiet, _ = latencies(store, queries, 5.0, while_busy=False)
        store.settle()
        gone = np.random.default_rng(5).choice(n, int(0.22 * n), replace=False) + 1
        store.remove(gone)
        busy, _ = latencies(store, queries, 5.0, while_busy=True)
        failed = store.upkeep_failures()
        assert not failed["failures"], failed
        spaces.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return {
        "quiet_p50_ms": float(np.percentile(quiet, 50)),
        "quiet_p99_ms": float(np.percentile(quiet, 99)),
        "busy_p50_ms": float(np.percentile(busy, 50)),
        "busy_p99_ms": float(np.percentile(busy, 99)),
        "busy_reads": len(busy),
    }


def main() -> None:
    """Build or load, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--memory", type=int, default=1024, metavar="MB", help="budget of codes: less turns to RaBitQ")
    parser.add_argument("--restart", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.restart is not None:
        print(json.dumps(restarted(options.restart, options.memory)))
        return
    cache_folder().mkdir(parents=True, exist_ok=True)
    folder, seconds = filled(options.n, options.memory)
    if not (folder / "queries.npy").exists():
        queries, sources = plant(base_vectors(options.n), QUERIES, seed=7)
        np.save(folder / "queries.npy", queries)
        np.save(folder / "sources.npy", sources)
    command = [sys.executable, __file__, "--restart", str(folder), "--memory", str(options.memory)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    found |= read_beside_builds(folder, options.n, options.memory)
    found |= {
        "n": options.n,
        "build_s": seconds,
        "bytes_per_vector": (found["rss_bytes"] - found["process_before_bytes"]) / options.n,
        "disk_bytes_per_vector": found["disk_bytes"] / options.n,
        "p99_ratio": found["busy_p99_ms"] / found["quiet_p99_ms"],
        "loadavg": os.getloadavg()[0],
    }
    for name, value in found.items():
        print(f"{name:24} {value:,.3f}" if isinstance(value, float) else f"{name:24} {value:,}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
