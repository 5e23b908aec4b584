"""One engine on the benchmark's stream, in its own environment: `PYTHON -m benchmarks.peers.measured PLAN.json`.

Prints one JSON line: by batch size `items_per_s`, `found`, `p99_ms`; with them `effort`, `durability`,
`bytes_per_vector`. Needs numpy and the engine's library.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Ids, Peer, Vectors, load_engine

LOAD_CHUNK = 10_000


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def found_share(rows: Ids, sources: Ids, first: int) -> float:
    """The share of queries whose source is among the first rows."""
    return float((rows[:, :first] == sources[:, None]).any(axis=1).mean()) if len(rows) else 1.0


class _Feed:
    """The stream, a batch at a time, under ids that go on from those that are stored."""

    def __init__(self, peer: Peer, plan: dict[str, Any], stored: int, stream: Vectors) -> None:
        self._peer, self._k, self._stream = peer, int(plan["k"]), stream
        self._first, self._taken = stored, 0

    def batch(self, size: int) -> tuple[int, Ids]:
        """Search and store the next vectors: where in the stream they began, what was found."""
        at = self._taken
        vectors = np.ascontiguousarray(self._stream[at : at + size])
        if len(vectors) < size:
            raise SystemExit("the stream is too short for this engine: fewer batches, please")
        rows, _ = self._peer.add_and_search(np.arange(self._first + at, self._first + at + size), vectors, self._k)
        self._taken += size
        return at, rows


def _tuned(peer: Peer, feed: _Feed, judged: dict[int, int], plan: dict[str, Any]) -> tuple[int, float]:
    """The cheapest effort that finds enough, and what it finds; the dearest where none does."""
    effort, found = 0, 0.0
    for effort in peer.efforts or (0,):
        if peer.efforts:
            peer.set_effort(effort)
        found = _found(feed, judged, plan)
        if found >= plan["target"]:
            break
    return effort, found


def _found(feed: _Feed, judged: dict[int, int], plan: dict[str, Any]) -> float:
    hits = asked = 0
    while asked < plan["judged_per_effort"]:
        at, rows = feed.batch(64)
        for place, found in enumerate(rows):
            source = judged.get(at + place)
            if source is not None:
                asked += 1
                hits += int(source in found[: plan["first"]])
    return hits / max(1, asked)


def measured(plan: dict[str, Any]) -> dict[str, Any]:
    """Load, tune, measure."""
    base, stream = np.load(plan["base"], mmap_mode="r"), np.load(plan["stream"], mmap_mode="r")
    judged = {int(at): int(source) for at, source in np.load(plan["judged"])}
    peer, before = load_engine(plan["engine"]), _rss()
    answer: dict[str, Any] = {"engine": plan["engine"], "durability": peer.durability, "n": len(base)}
    with tempfile.TemporaryDirectory(prefix="sosie-peer-") as folder:
        peer.open(base.shape[1], Path(folder), plan["threads"], len(base) + len(stream))
        started = time.perf_counter()
        chunk = len(base) if plan["engine"] == "faiss" else LOAD_CHUNK
        for start in range(0, len(base), chunk):
            part = np.ascontiguousarray(base[start : start + chunk])
            peer.load(np.arange(start, start + len(part)), part)
        answer["load_s"] = round(time.perf_counter() - started, 1)
        answer["bytes_per_vector"] = round((_rss() - before) / len(base))
        feed = _Feed(peer, plan, len(base), stream)
        answer["effort"], answer["found"] = _tuned(peer, feed, judged, plan)
        for size in plan["batches"]:
            rates, latencies = [], []
            for _ in range(plan["rounds"]):
                count, began = 0, time.perf_counter()
                while time.perf_counter() - began < plan["seconds"]:
                    call = time.perf_counter()
                    feed.batch(size)
                    latencies.append(time.perf_counter() - call)
                    count += size
                rates.append(count / (time.perf_counter() - began))
            answer[f"batch_{size}"] = {
                "items_per_s": round(float(np.median(rates)), 1),
                "p99_ms": round(float(np.percentile(latencies, 99)) * 1000, 1),
            }
        peer.close()
    return answer


def main() -> None:
    """Run a plan."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(measured(plan)), flush=True)


if __name__ == "__main__":
    main()
