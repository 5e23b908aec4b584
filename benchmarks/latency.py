"""Milliseconds from a record produced to Kafka to its outcome: read from the result topic, and known to `content get`.

    .venv/bin/python -m benchmarks.latency [--seconds 30] [--top-seconds 8] [--kinds image,post,mixed] [--rate R]

A stack with a broker of its own; one streaming job from topics to topics. For each kind a burst that takes
`--top-seconds` gives the top rate (outcomes a second from the 10th to the 90th percentile), and then records are sent
evenly at half of it. `topic`: until
this program has read the outcome from the result topic; `get`: until Redis, which `content get` reads, answers with it
(asked every 4 ms about those
that wait longest). `mixed`: as many images as posts, told per kind.
The last line is JSON: by kind `top_per_s`, `rate_per_s`, `n`, `missing`, and `topic` and `get`, each p50 and p99 in ms.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import redis
import yaml

from benchmarks import images
from benchmarks.throughput import steady_rate
from deploy import stack
from pipeline.flink import environment
from pipeline.flink.kafka_admin import KafkaAdmin
from pipeline.flink.kafka_client import KafkaConsumer, KafkaProducer

_GET_S = 0.004
_ASKED = 64
"""Of each kind, at a time: asking for a whole burst would take the cores that the job needs."""
_FIRST = 200
"""Records that tell how many a burst needs."""
_WAIT_S = 60.0
_REST_S = 3.0
"""Between the burst and the even load, which would else begin with the burst's large bundles."""
POLICY = "feed"
_KEY = re.compile(r"key = ([^,]*), value = ")
_KNOWN = """
local found = {}
for place, key in ipairs(KEYS) do found[place] = redis.call('HEXISTS', key, ARGV[1]) end
return found
"""
"""Which of some outcomes are there: one question for all of them."""


class _Keys(KafkaConsumer):
    """Keys alone, a partition at a time: `poll` asks the JVM two dozen questions for each record, and at hundreds of
    records a second would take more of two cores than the job does."""

    def keys(self, seconds: float) -> list[str]:
        """Of what has come, waiting for something at most so long."""
        records = self._consumer.poll(self._gateway.jvm.java.time.Duration.ofMillis(int(seconds * 1000)))
        if records.isEmpty():
            return []
        told = [records.records(partition).toString() for partition in records.partitions().toArray()]
        return [key for text in told for key in _KEY.findall(text)]


class Watch:
    """When each outcome was seen; two threads, one on the result topic and one on Redis. Seconds, monotonic."""

    def __init__(self, bootstrap: str, redis_url: str) -> None:
        self.topic: dict[str, float] = {}
        self.get: dict[str, float] = {}
        self._open: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._redis = redis.Redis.from_url(redis_url)
        self._known = self._redis.register_script(_KNOWN)
        self._consumer = _Keys(bootstrap, ["results"], from_end=True)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._ask)]
        for thread in self._threads:
            thread.start()

    def expect(self, material_id: str, kind: str) -> None:
        """Ask Redis for it from now on, once it is among the oldest of its kind."""
        with self._lock:
            self._open.setdefault(kind, {})[material_id] = None

    def wait(self, names: Sequence[str], seconds: float) -> list[str]:
        """Those that both have not told when time is up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(n in self.topic and n in self.get for n in names):
            time.sleep(0.02)
        return [n for n in names if n not in self.topic or n not in self.get]

    def close(self) -> None:
        """End both threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        with self._consumer:
            while not self._stop.is_set():
                keys = self._consumer.keys(0.1)
                now = time.monotonic()
                for key in keys:
                    self.topic.setdefault(key, now)

    def _ask(self) -> None:
        while not self._stop.wait(_GET_S):
            with self._lock:
                names = [name for waiting in self._open.values() for name in islice(waiting, _ASKED)]
            if not names:
                continue
            answers = self._known(keys=[f"sosie:outcome:{name}" for name in names], args=[POLICY])
            known = [name for name, there in zip(names, answers, strict=True) if there]
            now = time.monotonic()
            for name in known:
                self.get[name] = now
            with self._lock:
                for name in known:
                    for waiting in self._open.values():
                        waiting.pop(name, None)


class Load:
    """Sends records of a kind; every one is new to the system."""

    def __init__(self, producer: KafkaProducer, watch: Watch, pictures: int) -> None:
        self._producer, self._watch, self._pictures = producer, watch, pictures
        self._number = 0

    def send(self, kind: str) -> tuple[str, float]:
        """One record: its name, and when it was handed to the producer."""
        i, self._number = self._number, self._number + 1
        name = f"l-{kind}-{i}"
        record: dict[str, Any] = {"material_id": name, "kind": kind}
        if kind == "image":
            record["media"] = [f"pictures/{i % self._pictures:05d}.jpg"]
        else:
            record["text"] = (
                f"Heron {i} of {i * 7919 % 10007} stood in the water near lock {i * 31 % 997} at {i % 24} h."
            )
        self._watch.expect(name, kind)
        sent = time.monotonic()
        self._producer.send(f"{kind}s", json.dumps(record).encode(), name)
        return name, sent

    def evenly(self, kinds: Sequence[str], rate: float, seconds: float) -> dict[str, float]:
        """`rate` records a second in all, kinds in turn; name -> when it was sent."""
        sent = {}
        began = time.monotonic()
        for i in range(int(rate * seconds)):
            time.sleep(max(0.0, began + i / rate - time.monotonic()))
            name, at = self.send(kinds[i % len(kinds)])
            sent[name] = at
        self._producer.flush()
        return sent


def percentiles(sent: dict[str, float], seen: dict[str, float]) -> dict[str, float]:
    """p50 and p99 in ms of those that were seen."""
    took = sorted((seen[name] - at) * 1000.0 for name, at in sent.items() if name in seen)
    if not took:
        return {}
    return {"p50": round(statistics.median(took), 1), "p99": round(took[min(len(took) - 1, int(len(took) * 0.99))], 1)}


def burst(load: Load, watch: Watch, kinds: Sequence[str], count: int) -> tuple[float, int]:
    """The steady rate of so many records sent at once, and how many of them had no outcome in time."""
    names = [load.send(kinds[i % len(kinds)])[0] for i in range(count)]
    lost = watch.wait(names, _WAIT_S + count / 5)
    return steady_rate(sorted(watch.topic[name] for name in names if name in watch.topic)), len(lost)


def measure(load: Load, watch: Watch, kinds: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """Top rate of a burst, then half of it; figures per kind where there are several."""
    top, lost = burst(load, watch, kinds, _FIRST)
    top, more = burst(load, watch, kinds, max(_FIRST, int(top * args.top_seconds)))
    lost += more
    time.sleep(_REST_S)
    rate = args.rate or top / 2
    sent = load.evenly(kinds, rate, args.seconds)
    missing = lost + len(watch.wait(list(sent), _WAIT_S))
    told = {"top_per_s": round(top, 1), "rate_per_s": round(rate, 1), "n": len(sent), "missing": missing}
    for kind in kinds:
        own = {name: at for name, at in sent.items() if name.startswith(f"l-{kind}-")}
        figures = {"topic": percentiles(own, watch.topic), "get": percentiles(own, watch.get)}
        told |= figures if len(kinds) == 1 else {kind: figures}
    return told


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--top-seconds", type=float, default=8.0)
    parser.add_argument("--pictures", type=int, default=5500, help="different ones; each is an upload of its own")
    parser.add_argument("--kinds", default="image,post,mixed")
    parser.add_argument("--rate", type=float, help="records a second, in place of half the top rate")
    parser.add_argument("--gather-ms", type=int, help="the job's `threads.gather_ms`, in place of its default")
    parser.add_argument("--capacity", type=int, help="the job's `threads.capacity`, in place of its default")
    args = parser.parse_args()
    # A shell's background job ignores SIGINT, and so would the job below, which is ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    with tempfile.TemporaryDirectory(prefix="sosie-latency-") as name:
        folder, state = Path(name), Path(name) / "state"
        images.make(folder / "pictures", args.pictures)
        spec = folder / "latency.yaml"
        source = {"kind": "kafka", "topics": ["images", "posts"], "start": "earliest", "base": str(folder)}
        plugins = ["image-embedding", "text-embedding"]
        sink = {"kind": "kafka", "topic": "results"}
        threads = {name: value for name in ("gather_ms", "capacity") if (value := getattr(args, name))}
        job_of = {"name": "latency", "source": source, "sink": sink, "plugins": plugins, "threads": threads}
        spec.write_text(yaml.safe_dump(job_of))
        addresses = stack.up(state, kafka=True)
        environment.prepare_gateway(folder / "log")
        with KafkaAdmin(addresses.kafka, {}) as admin:
            admin.create(["images", "posts", "results", "results-dead"], 2, 1)
        command = [sys.executable, "-m", "pipeline.cli.main", "run", str(spec), "--state", str(state), "--json"]
        job = subprocess.Popen(command, stdout=subprocess.PIPE)
        watch = Watch(addresses.kafka, addresses.redis)
        told: dict[str, Any] = {}
        try:
            with KafkaProducer(addresses.kafka, {"linger.ms": "0"}) as producer:
                load = Load(producer, watch, args.pictures)
                warm = [load.send(kind)[0] for kind in ("image", "post") for _ in range(40)]
                if left := watch.wait(warm, 180.0):
                    raise SystemExit(f"{len(left)} of the first {len(warm)} records have no outcome after 180 s")
                for each in args.kinds.split(","):
                    kinds = ["image", "post"] if each == "mixed" else [each]
                    told[each] = measure(load, watch, kinds, args)
                    print(each, json.dumps(told[each]), flush=True)
        finally:
            watch.close()
            job.send_signal(signal.SIGINT)
            try:
                job.communicate(timeout=120)
            finally:
                job.kill()
                stack.down(state)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
