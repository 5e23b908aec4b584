"""The whole job's image rate against a bare loop of the same decode, model and FAISS calls, in one run.

    .venv/bin/python benchmarks/throughput.py [--images 2000] [--alternations 5] [--kafka]

Job and bare loop alternate; each rate is the steady state, from the 10th to the 90th percentile of the outcomes; the
last line is JSON: `ratio` (median of the pairs' ratios), `ratios`, `job_per_s`, `bare_per_s`, `n`, `cpu_ms` by part.
`--kafka`: the same job on a topic, results to a topic, in each alternation too: `kafka_per_s`, `kafka_ratio` (to the
bare loop), `kafka_to_files` (medians) and `kafka_cpu_ms`.
"""

from __future__ import annotations

import os

os.environ.update(
    OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"
)  # before numpy: two OpenMP threads on busy cores starve

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import redis
import yaml

from benchmarks import bare_loop, images
from deploy import stack
from deploy.addresses import Addresses
from model_plugins.recipes.build import default_cache

_POLL_S = 0.05


def steady_rate(stamps: Sequence[float]) -> float:
    """Outcomes a second between the 10th and the 90th percentile. `stamps`: sorted seconds, one per outcome."""
    low, high = int(len(stamps) * 0.1), int(len(stamps) * 0.9) - 1
    return (high - low) / (stamps[high] - stamps[low])


def cpu_by_part(state: Path, run: psutil.Process) -> dict[str, float]:
    """CPU seconds so far, by part of the system; `run` is the process of `sosie run`, which holds the operators."""
    parts = {part.name: part.pid for part in stack.status(state) if part.pid}
    spent = {name: _tree_seconds(psutil.Process(pid)) for name, pid in parts.items() if name != "supervisor"}
    spent["operators"] = _own_seconds(run)
    for child in run.children(recursive=True):
        name = "jvm" if "java" in child.name() else "decode"
        spent[name] = spent.get(name, 0.0) + _own_seconds(child)
    return spent


def _own_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _tree_seconds(process: psutil.Process) -> float:
    return _own_seconds(process) + sum(_own_seconds(child) for child in process.children(recursive=True))


def job_once(
    state: Path, addresses: Addresses, folder: Path, count: int, run: str, kafka: bool = False
) -> tuple[list[float], dict[str, float]]:
    """Run the job on all pictures; completion times as sampled from the progress counter, and CPU ms per picture."""
    redis.Redis.from_url(addresses.redis).flushall()  # or an earlier run's features would spare this one the model
    records = folder / f"in{run}.jsonl"
    with records.open("w") as file:
        for i in range(count):
            file.write(
                json.dumps({"material_id": f"r{run}-{i}", "kind": "image", "media": [f"pictures/{i:05d}.jpg"]}) + "\n"
            )
    source: dict[str, object] = {"kind": "files", "path": str(records)}
    sink: dict[str, object] = {"kind": "files", "path": str(folder / f"out{run}")}
    if kafka:
        produce(addresses.kafka, f"in{run}", records, folder / "log")
        source = {"kind": "kafka", "topic": f"in{run}", "start": "earliest", "bounded": True, "base": str(folder)}
        sink = {"kind": "kafka", "topic": f"out{run}"}
    spec = folder / f"job{run}.yaml"
    spec.write_text(
        yaml.safe_dump(
            {
                "name": f"throughput{run}",
                "source": source,
                "sink": sink,
                "plugins": ["image-embedding"],
            }
        )
    )
    connection = redis.Redis.from_url(addresses.redis)
    command = [sys.executable, "-m", "pipeline.cli.main", "run", str(spec), "--state", str(state), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        stamps, marks = list[float](), list[tuple[int, dict[str, float]]]()
        watched = psutil.Process(process.pid)
        key = ""
        while process.poll() is None and len(stamps) < count:
            time.sleep(_POLL_S)
            key = key or next(
                (k.decode() for k in connection.scan_iter(f"sosie:job:throughput{run}-*", count=1000)), ""
            )
            done = sum(int(v) for v in connection.hvals(key)) if key else 0
            if done > len(stamps):
                stamps.extend([time.monotonic()] * (done - len(stamps)))
                if done >= count * 0.1 and (not marks or done >= count * 0.9 > marks[-1][0]):
                    marks.append((done, cpu_by_part(state, watched)))
        output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the job ended with {process.returncode}: {output.decode()[-500:]}")
    (first, before), (last, after) = marks[0], marks[-1]
    spent = {name: (after.get(name, 0.0) - before.get(name, 0.0)) * 1000.0 / (last - first) for name in after}
    return stamps, spent


def produce(bootstrap: str, topic: str, records: Path, log: Path) -> None:
    """Each line of a file as a record of a new topic."""
    from pipeline.flink import environment
    from pipeline.flink.kafka_admin import KafkaAdmin
    from pipeline.flink.kafka_client import KafkaProducer

    environment.prepare_gateway(log)
    with KafkaAdmin(bootstrap, {}) as admin:
        admin.create([topic], 2, 1)
    with KafkaProducer(bootstrap) as producer:
        for line in records.read_bytes().splitlines():
            producer.send(topic, line)


def medians(spent: Sequence[dict[str, float]]) -> dict[str, float]:
    """By part."""
    return {name: round(statistics.median(cpu.get(name, 0.0) for cpu in spent), 2) for name in spent[0]}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="the bare loop's batch")
    parser.add_argument("--kafka", action="store_true", help="the job on topics, too")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    model = default_cache() / "image-embedding" / "1" / "model.onnx"
    cores = len(os.sched_getaffinity(0))
    jobs, bares, streams = list[float](), list[float](), list[float]()
    spent, spent_on_kafka = list[dict[str, float]](), list[dict[str, float]]()
    with tempfile.TemporaryDirectory(prefix="sosie-throughput-") as name:
        folder, state = Path(name), Path(name) / "state"
        paths = images.make(folder / "pictures", args.images)
        addresses = stack.up(state, kafka=args.kafka)
        try:
            kinds = {"threads": bare_loop.run_threads, "processes": bare_loop.run_processes}
            rates = {k: steady_rate(f(model, paths[:600], args.batch, 0, cores)) for k, f in kinds.items()}
            best = max(rates, key=lambda kind: rates[kind])
            print(f"bare loop, first look: {', '.join(f'{k} {v:.0f}/s' for k, v in rates.items())}; taking {best}")
            for i in range(args.alternations):
                stamps, cpu = job_once(state, addresses, folder, args.images, f"{i}")
                jobs.append(steady_rate(stamps))
                spent.append(cpu)
                if args.kafka:
                    stamps, cpu = job_once(state, addresses, folder, args.images, f"{i}k", kafka=True)
                    streams.append(steady_rate(stamps))
                    spent_on_kafka.append(cpu)
                    print(f"{i}: on Kafka {streams[-1]:.1f}/s", flush=True)
                bares.append(
                    steady_rate(kinds[best](model, paths, args.batch, i * args.images * (1 + args.kafka), cores))
                )
                print(
                    f"{i}: job {jobs[-1]:.1f}/s, bare {bares[-1]:.1f}/s, ratio {jobs[-1] / bares[-1]:.3f}", flush=True
                )
        finally:
            stack.down(state)
    ratios = [job / bare for job, bare in zip(jobs, bares, strict=True)]
    answer = {
        "ratio": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "job_per_s": round(statistics.median(jobs), 1),
        "bare_per_s": round(statistics.median(bares), 1),
        "bare": best,
        "n": args.images,
        "cpu_ms": medians(spent),
    }
    if streams:
        answer["kafka_per_s"] = round(statistics.median(streams), 1)
        answer["kafka_ratio"] = round(statistics.median(s / b for s, b in zip(streams, bares, strict=True)), 4)
        answer["kafka_cpu_ms"] = medians(spent_on_kafka)
        answer["kafka_to_files"] = round(statistics.median(s / j for s, j in zip(streams, jobs, strict=True)), 4)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
