"""Durable assigns a second of the index service, beside a bare loop of FAISS search and add of the same batches.

    .venv/bin/python benchmarks/index.py --n 20000 --batch 32 --clients 4
    .venv/bin/python benchmarks/index.py --n 1000000 --batch 32 256 --clients 4
    .venv/bin/python benchmarks/index.py --growth 10000,100000,1000000
    .venv/bin/python benchmarks/index.py --n 100000 --engine hnswlib

The real server on a copy of a prepared state, clients in processes of their own, through gRPC on loopback. Ours and the
bare loop take the same batches in turn, round by round; `ratio` is the median of the rounds' ratios of items a second,
`cpu_ratio` the same by processor time (clients included), which other work on the machine disturbs less. `--nprobe` is
the same for both; without it, the smallest at which the bare index finds 0.999 of the planted near-duplicates that
exact search has among its first five. Of these cells the service leaves out those that are far behind the nearest
(`Probe`, as shipped); with `--cell-margin 2` it searches them all, as the bare loop does. Vectors and built indexes are
kept under `$SOSIE_BENCH_CACHE` (default `~/.cache/sosie/benchmarks/index`). The last line is JSON.
"""

from __future__ import annotations

import os

# passive: threads that spin while they wait would count as work of the bare loop
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ.update(OMP_NUM_THREADS=str(os.cpu_count() or 1), OPENBLAS_NUM_THREADS=str(os.cpu_count() or 1))

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.index_bench import growth
from benchmarks.index_bench.bare import Bare
from benchmarks.index_bench.clients import Clients, Done, items_per_s
from benchmarks.index_bench.service import Service, running
from benchmarks.index_bench.state import cached_state, copied
from benchmarks.index_bench.vectors import Rows, Stream, base_vectors, cache_folder, exact_ranks, stream_after
from benchmarks.peers.environment import python_of
from vector_index.preparation import RECALL_K
from vector_index.segments.settings import SegmentSettings

ROOT = Path(__file__).parents[1]
NPROBES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
FIRST = 5
"""Exact search finds a planted source when it is among its first five; an engine, when it reports it among the ten."""
REPORTED = 10
TARGET = 0.999
SEARCH_CHUNK = 256
PEER_STREAM = 240_000
"""Vectors for an engine's rounds: the fastest take 20,000 a second."""
PEER_EFFORTS = 9
"""Settings that an engine may try, each on planted items of its own; one more than the most that any has, since some
planted items are not judged."""


class Truth(msgspec.Struct, frozen=True):
    """Planted items of the stream whose source exact search finds: their places in it, and the sources' rows."""

    at: Rows
    source: Rows


class Setting(msgspec.Struct, frozen=True):
    """What is measured."""

    n: int
    clients: int
    rounds: int
    items: int
    judged: int
    nprobe: int
    cores: int
    memory: int
    margin: float


def judged_truth(base: Any, stream: Stream, setting: Setting) -> Truth:
    """Exact search for the first planted items, kept in the cache."""
    at = np.flatnonzero(stream.source >= 0)[: setting.judged]
    path = cache_folder() / f"ranks-{setting.n}-{len(stream.vectors)}-{len(at)}.npy"
    if not path.exists():
        np.save(path, exact_ranks(base, stream.vectors[at], stream.source[at]))
    at = at[np.load(path) < FIRST]
    return Truth(at, stream.source[at])


def found_by_bare(bare: Bare, stream: Stream, truth: Truth, nprobe: int) -> float:
    """The share that the bare index has among its first ten."""
    hits = 0
    for start in range(0, len(truth.at), SEARCH_CHUNK):
        rows = bare.search(stream.vectors[truth.at[start : start + SEARCH_CHUNK]], RECALL_K, nprobe)
        hits += int((rows[:, :REPORTED] == truth.source[start : start + SEARCH_CHUNK, None]).any(axis=1).sum())
    return hits / max(1, len(truth.at))


def smallest_nprobe(bare: Bare, stream: Stream, truth: Truth) -> int:
    """The first of `NPROBES` that finds enough; the last where none does."""
    if bare.exact:  # ours may outgrow it during the run
        return SegmentSettings().nprobe
    for nprobe in NPROBES:
        found = found_by_bare(bare, stream, truth, nprobe)
        print(f"nprobe {nprobe}: the bare index finds {found:.4f}", flush=True)
        if found >= TARGET:
            break
    return nprobe


def found_by_service(done: list[Done], batch: int, start: int, truth: Truth) -> tuple[int, int]:
    """(found, judged) of one round that began at `start` of the stream."""
    judged = set(truth.at.tolist())
    found = asked = 0
    for client, one in enumerate(done):
        for number, call in enumerate(one.reported):
            first = start + (number * len(done) + client) * batch
            for place, reported in enumerate(call):
                if first + place in judged:
                    asked += 1
                    found += bool(reported)
    return found, asked


class Measured:
    """One batch size: the rounds, and the sums over them."""

    def __init__(self, service: Service, clients: Clients, bare: Bare, stream: Stream, setting: Setting) -> None:
        self._service, self._clients, self._bare = service, clients, bare
        self._stream, self._setting = stream, setting
        self._taken = 0
        self._calls = 0

    def _ours(self, batch: int, items: int, rate: float = 0.0) -> tuple[list[Done], int]:
        start, self._taken = self._taken, self._taken + items
        self._calls += 1
        chunk = slice(start, start + items)
        vectors, sources = self._stream.vectors[chunk], self._stream.source[chunk]
        return self._clients.run(f"r{self._calls}", vectors, sources, batch, rate), start

    def rounds(self, batch: int, truth: Truth) -> dict[str, Any]:
        """Ours and bare in turn, then ours at half its rate."""
        setting = self._setting
        share = batch * setting.clients
        items = max(share, setting.items // share * share)
        ours, bare, ratios = list[float](), list[float](), list[float]()
        cpu, client_cpu, bare_cpu = list[float](), list[float](), list[float]()
        found = asked = 0
        for number in range(setting.rounds + 1):
            used = self._service.cpu_s()
            done, start = self._ours(batch, items)
            used = self._service.cpu_s() - used
            hits, judged = found_by_service(done, batch, start, truth)
            found, asked = found + hits, asked + judged
            vectors = self._stream.vectors[start : start + items]
            batches = [vectors[at : at + batch] for at in range(0, items, batch)]
            # bare twice over the same vectors: what it holds then differs by less than a thousandth from ours
            spent = time.process_time()
            best = self._bare.loop(batches, RECALL_K, setting.nprobe)
            spent = time.process_time() - spent
            best = max(best, self._bare.callers(batches, RECALL_K, setting.nprobe))
            if number == 0 and setting.rounds > 1:
                continue  # caches and connections warm up
            ours.append(items_per_s(done))
            bare.append(best)
            ratios.append(ours[-1] / best)
            cpu.append(used / items * 1000)
            bare_cpu.append(spent / items * 1000)
            client_cpu.append(sum(one.cpu_s for one in done) / items * 1000)
            print(
                f"batch {batch}: ours {ours[-1]:.0f}/s, bare {best:.0f}/s, ratio {ratios[-1]:.3f}; CPU ms an item: "
                f"service {cpu[-1]:.3f}, clients {client_cpu[-1]:.3f}, bare {bare_cpu[-1]:.3f}",
                flush=True,
            )
        rate = statistics.median(ours)
        calm, _ = self._ours(batch, items, rate / 2)
        latencies = [latency * 1000 for one in calm for latency in one.latencies]
        answer = {
            "batch": batch,
            "ratio": round(statistics.median(ratios), 3),
            "items_per_s": round(rate, 1),
            "bare_items_per_s": round(statistics.median(bare), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "cpu_ms": round(statistics.median(cpu), 3),
            "client_cpu_ms": round(statistics.median(client_cpu), 3),
            "bare_cpu_ms": round(statistics.median(bare_cpu), 3),
            "cpu_ratio": round(
                statistics.median(bare_cpu) / (statistics.median(cpu) + statistics.median(client_cpu)), 3
            ),
            "p50_ms": round(float(np.percentile(latencies, 50)), 1),
            "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        }
        return answer | ({"found": round(found / asked, 4), "judged": asked} if asked else {})


def measure(setting: Setting, batches: list[int]) -> dict[str, Any]:
    """All batch sizes on one index size."""
    base = base_vectors(setting.n)
    needed = 0
    for batch in batches:
        share = batch * setting.clients
        needed += (setting.rounds + 2) * max(share, setting.items // share * share)
    stream = stream_after(base, needed)
    truth = judged_truth(base, stream, setting)
    state = cached_state(base, setting.memory)
    bare = Bare(base, setting.cores, state)
    if not setting.nprobe:
        setting = msgspec.structs.replace(setting, nprobe=smallest_nprobe(bare, stream, truth))
    bare_found = found_by_bare(bare, stream, truth, setting.nprobe)
    with tempfile.TemporaryDirectory(prefix="index-", dir=cache_folder()) as folder:
        with running(Path(folder) / "empty", setting.nprobe, setting.margin, setting.memory) as service:
            empty = service.rss()
        place = copied(state, Path(folder) / "state")
        with running(place, setting.nprobe, setting.margin, setting.memory) as service:
            held = service.rss() - empty
            clients = Clients(setting.clients, service.address)
            run = Measured(service, clients, bare, stream, setting)
            by_batch = [run.rounds(batch, truth) for batch in batches]
            clients.close()
            answer = {
                **by_batch[0],
                "n": setting.n,
                "clients": setting.clients,
                "nprobe": setting.nprobe,
                "cell_margin": setting.margin,
                "bare_found": round(bare_found, 4),
                "bytes_per_vector": round(held / setting.n),
                "bytes_per_vector_after": round((service.rss() - empty) / (setting.n + needed)),
                "first_answer_s": round(service.first_answer_s, 2),
                "cores": setting.cores,
                "load": round(os.getloadavg()[0], 2),
            }
            return answer if len(by_batch) == 1 else {**answer, "batches": by_batch}


def measure_peer(engine: str, setting: Setting, batches: list[int], seconds: float) -> dict[str, Any]:
    """One other engine on the same stream, in its own environment."""
    base = base_vectors(setting.n)
    stream = stream_after(base, max(PEER_STREAM, 8 * setting.judged))
    truth = judged_truth(base, stream, setting)
    with tempfile.TemporaryDirectory(prefix="peer-", dir=cache_folder()) as folder:
        files = {name: str(Path(folder) / f"{name}.npy") for name in ("stream", "judged")}
        np.save(files["stream"], stream.vectors)
        np.save(files["judged"], np.stack([truth.at, truth.source], axis=1))
        plan = {
            "engine": engine,
            "base": str(cache_folder() / Path(str(getattr(base, "filename", ""))).name),
            **files,
            "batches": batches,
            "k": RECALL_K,
            "first": REPORTED,
            "target": TARGET,
            "judged_per_effort": min(2000, len(truth.at) // PEER_EFFORTS),
            "rounds": setting.rounds,
            "seconds": seconds,
            "threads": setting.cores,
        }
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(plan))
        command = [str(python_of(engine)), "-m", "benchmarks.peers.measured", str(path)]
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{engine} failed with exit code {ended.returncode}")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="vectors that are stored before the first batch")
    parser.add_argument("--batch", type=int, nargs="+", default=[32], help="items of one call")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--nprobe", type=int, default=0, help="cells searched, by both; 0: the smallest that suffices")
    parser.add_argument(
        "--cell-margin",
        type=float,
        default=SegmentSettings().cell_margin,
        help="of our service alone; 2: it searches all of nprobe, as the bare loop does",
    )
    parser.add_argument(
        "--memory", type=int, default=SegmentSettings().memory >> 20, metavar="MB", help="of 8-bit codes"
    )
    parser.add_argument("--engine", default="", help="a peer of benchmarks/peers instead of our service")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=8192, help="items of one round")
    parser.add_argument("--judged", type=int, default=4000, help="planted items that exact search is asked for")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round of a peer")
    parser.add_argument("--growth", default="", metavar="N,N,…", help="sizes for the curve of items/s over n")
    parser.add_argument("--plot", type=Path, default=ROOT / "out" / "index" / "growth.png")
    args = parser.parse_args()
    sizes = [int(size) for size in args.growth.split(",") if size] or [args.n]
    answers = []
    for n in sizes:
        setting = Setting(
            n,
            args.clients,
            args.rounds,
            args.items,
            args.judged,
            args.nprobe,
            os.cpu_count() or 1,
            args.memory << 20,
            args.cell_margin,
        )
        if args.engine:
            answers.append(measure_peer(args.engine, setting, args.batch, args.seconds))
        else:
            answers.append(measure(setting, args.batch))
        if len(sizes) > 1:
            print(json.dumps(answers[-1]), flush=True)
    if len(sizes) == 1:
        print(json.dumps(answers[0]))
        return
    rates = [answer["items_per_s"] for answer in answers]
    curve = growth.fit(sizes, rates)
    growth.draw(args.plot, sizes, rates, [answer["bare_items_per_s"] for answer in answers], curve)
    print(json.dumps({"growth": answers, "curve": msgspec.to_builtins(curve), "plot": str(args.plot)}))


if __name__ == "__main__":
    main()
