"""The ledger's record of a run: written before it starts, and again at its end. And whether a run still goes on."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from deploy.processes import ProcessId, alive, identify
from pipeline.flink.plan import JobPlan
from pipeline.job_control import records
from pipeline.kafka.settings import KafkaSink, KafkaSource
from pipeline.run_bounds import is_endless
from reconcile.ledger.runs import RunRecord, end_run, find_run, write_run

_GOING_ON = frozenset({"INITIALIZING", "CREATED", "RUNNING", "FAILING", "RESTARTING", "CANCELLING", "RECONCILING"})


def write_start(plan: JobPlan, process: str) -> None:
    """Write the record of a run that begins, or that goes on under the same name.

    Args:
        process: who drives it: `process_mark()`, or `URL#JOB` of a cluster.
    """
    spec = plan.spec
    before = find_run(Path(plan.state), plan.run_id)
    parts = {"source": spec.source, "sink": spec.sink}
    record = RunRecord(
        run_id=plan.run_id,
        chain=plan.chain or plan.run_id,
        job=spec.name,
        policy=spec.policy,
        source=spec.source.model_dump(mode="json"),
        sink=spec.sink.model_dump(mode="json"),
        started_at=before.started_at if before else time.time(),
        watch=is_endless(spec.source),
        starts=plan.starts,
        ends=plan.ends,
        brokers={name: plan.brokers(part) for name, part in parts.items() if isinstance(part, KafkaSource | KafkaSink)},
        process=process,
        spec_json=plan.spec_json,
    )
    write_run(Path(plan.state), record)


@contextmanager
def recorded(plan: JobPlan, process: str) -> Iterator[None]:
    """The record of a run that ends with the block."""
    write_start(plan, process)
    try:
        yield
    finally:
        end_run(Path(plan.state), plan.run_id, time.time())


def process_mark() -> str:
    """This process, told apart from a later one with its number."""
    us = identify(os.getpid())
    return f"{us.pid}@{us.started}" if us else ""


def goes_on(record: RunRecord) -> bool:
    """Whether a run still works: its process lives, or its cluster says so (one that does not answer counts as yes:
    a job may come back with its cluster)."""
    if record.ended_at:
        return False
    url, hash_, job_id = record.process.partition("#")
    if hash_:
        return _cluster_says(url, job_id)
    pid, _, started = record.process.partition("@")
    return pid.isdecimal() and alive(ProcessId(int(pid), started))


def may_come_back(state: Path, run_id: str) -> bool:
    """Whether a person stopped a submitted run with a savepoint, from which it can be resumed."""
    return any(job.run_id == run_id and job.wish == "stop" and job.savepoint for job in records.load_all(state))


def _cluster_says(url: str, job_id: str) -> bool:
    parts = urlsplit(url if "//" in url else f"//{url}")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5.0)
    try:
        connection.request("GET", f"/jobs/{job_id}/status")
        answer = connection.getresponse()
        body = answer.read()
        return answer.status == 200 and json.loads(body).get("status") in _GOING_ON
    except (OSError, http.client.HTTPException, ValueError):
        return True
    finally:
        connection.close()
