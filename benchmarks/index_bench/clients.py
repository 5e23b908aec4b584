"""Concurrent clients of the service, each in a process of its own, through gRPC on loopback."""

from __future__ import annotations

import multiprocessing
import resource
import time
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import numpy as np

from benchmarks.index_bench.state import base_name, item_of
from benchmarks.index_bench.vectors import Rows, Vectors
from vector_index.client import IndexClient


class Job(msgspec.Struct, frozen=True):
    """What one client sends: its batches in turn; `period` seconds from one call to the next, 0 as fast as it goes."""

    name: str
    batches: list[Vectors]
    sources: list[Rows]
    period: float
    delay: float


class Done(msgspec.Struct, frozen=True):
    """What became of it. Times of CLOCK_MONOTONIC; latencies in seconds, from when a call was due; `reported`: by item,
    whether its planted source is among the candidates (None for a fresh one)."""

    began: float
    ended: float
    latencies: list[float]
    reported: list[list[bool | None]]
    cpu_s: float


class Clients:
    """A pool; `run` gives each a share of the batches."""

    def __init__(self, count: int, address: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(count)
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(address, theirs, self._barrier), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, name: str, vectors: Vectors, sources: Rows, batch: int, rate: float = 0.0) -> list[Done]:
        """Send all. `rate`: items a second of all clients together, 0 for as many as go through."""
        starts = list(range(0, len(vectors), batch))
        count = len(self._pipes)
        period = batch * count / rate if rate else 0.0
        for number, pipe in enumerate(self._pipes):
            mine = starts[number::count]
            batches = [np.ascontiguousarray(vectors[start : start + batch]) for start in mine]
            wanted = [sources[start : start + batch] for start in mine]
            pipe.send(Job(f"{name}-{number}", batches, wanted, period, period * number / count))
        return [pipe.recv() for pipe in self._pipes]

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()


def items_per_s(done: list[Done]) -> float:
    """Over all clients, from the first call to the last answer."""
    items = sum(len(call) for one in done for call in one.reported)
    return items / (max(one.ended for one in done) - min(one.began for one in done))


def _serve(address: str, pipe: Connection, barrier: Any) -> None:
    with IndexClient(address, deadline=120) as client:
        while (job := pipe.recv()) is not None:
            pipe.send(_run(client, job, barrier))


def _run(client: IndexClient, job: Job, barrier: Any) -> Done:
    calls = [
        [item_of(f"{job.name}-{number}-{place}", vector) for place, vector in enumerate(batch)]
        for number, batch in enumerate(job.batches)
    ]
    names = [[base_name(int(row)) if row >= 0 else None for row in rows] for rows in job.sources]
    answers = []
    latencies: list[float] = []
    barrier.wait()
    cpu = _cpu_s()
    began = time.monotonic()
    for number, call in enumerate(calls):
        due = time.monotonic()
        if job.period:
            due = began + job.delay + number * job.period
            time.sleep(max(0.0, due - time.monotonic()))
        answers.append(client.assign(call))
        latencies.append(time.monotonic() - due)
    ended = time.monotonic()
    cpu = _cpu_s() - cpu
    reported = [
        [
            None if name is None else any(candidate.material_id == name for candidate in one.candidates)
            for one, name in zip(answer, wanted, strict=True)
        ]
        for answer, wanted in zip(answers, names, strict=True)
    ]
    return Done(began, ended, latencies, reported, cpu)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
