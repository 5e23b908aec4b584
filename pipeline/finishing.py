"""Looks after submitted jobs that nobody waits for: ends the bounded ones, and notes in the ledger when any has ended.

A bounded streaming job does not end itself: its second source is watched. This runs beside the pump of the stack;
whoever waits for a job (`sosie submit --wait`) ends it first.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from deploy.addresses import Addresses
from materials.errors import SosieError
from pipeline.bounded_end import end_of
from pipeline.committed_ends import has_ends
from pipeline.flink.kafka_offsets import between
from pipeline.flink.plan import JobPlan
from pipeline.job_control import records
from pipeline.job_control.records import JobRecord
from pipeline.job_control.rest import ENDED, FlinkRest
from pipeline.retrying import Waiting
from pipeline.runs import count_lines
from pipeline.spec import FilesSource
from reconcile.ledger.runs import end_run, find_run

LOOK_S = 2.0
PATIENCE_S = 10.0
"""From the moment in which a run is over: whoever waits for it ends it within this time."""
STOP_S = 120.0
_COMMIT_S = 120.0
_REST_S = 2.0
log = structlog.get_logger(__name__)


def commit_in_a_child(state: Path, run_id: str) -> None:
    """`commit_ends` in a process of its own, whose JVM ends with it."""
    command = [sys.executable, "-P", "-m", "pipeline.committed_ends", "--state", str(state), run_id]
    try:
        subprocess.run(command, timeout=_COMMIT_S, check=False)
    except subprocess.TimeoutExpired:
        log.warning("ends_not_committed", run=run_id, error=f"no answer within {_COMMIT_S:g} s")


class Finisher:
    """Looks after the runs that are remembered in a state folder.

    Args:
        state: the system's folder.
        redis_url: of the retry queue.
        cluster: REST address -> its interface.
        clock: monotonic seconds.
        now: epoch seconds.
        commit: tells Kafka where a bounded run has ended.
    """

    def __init__(
        self,
        state: Path,
        redis_url: str,
        cluster: Callable[[str], FlinkRest] = lambda url: FlinkRest(url, _REST_S),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        commit: Callable[[Path, str], None] = commit_in_a_child,
    ) -> None:
        self._state = state
        self._redis_url = redis_url
        self._cluster = cluster
        self._clock = clock
        self._now = now
        self._commit = commit
        self._over: dict[str, Callable[[], bool]] = {}
        self._since: dict[str, float] = {}
        self._ended: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.wait(LOOK_S):
            try:
                self.step()
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("finisher_waits", error=str(error))

    def step(self) -> list[str]:
        """The runs that were ended just now. One whose cluster does not answer is looked at again in the next step."""
        done = []
        for record in records.load_all(self._state):
            if not record.incarnations or record.wish != "run" or record.last.job_id in self._ended:
                continue
            try:
                if self._look_at(record):
                    done.append(record.run_id)
            except SosieError as error:
                log.debug("finisher_waits", run=record.run_id, error=str(error))
        return done

    def _look_at(self, record: JobRecord) -> bool:
        """Whether it was ended here."""
        rest, job_id = self._cluster(record.last.cluster), record.last.job_id
        state = rest.state(job_id)
        if state is None:  # its cluster has forgotten it: it may be resumed
            return False
        ours = state not in ENDED and self._is_over(record)
        if ours:
            log.info("bounded_job_is_over", run=record.run_id)
            rest.stop(job_id, self._state / "savepoints" / record.run_id, STOP_S)
        if ours or state in ENDED:
            self._ended.add(job_id)
            self._note_end(record)
        return ours

    def _is_over(self, record: JobRecord) -> bool:
        job_id = record.last.job_id
        over = self._over.get(job_id)
        if over is None:
            over = self._over[job_id] = self._end_of(record)
        if not over():
            self._since.pop(job_id, None)
            return False
        return self._clock() - self._since.setdefault(job_id, self._clock()) >= PATIENCE_S

    def _end_of(self, record: JobRecord) -> Callable[[], bool]:
        nowhere = Addresses(zookeeper="", redis=self._redis_url, index="")
        plan = JobPlan(spec_json=record.spec_json, addresses=nowhere, state=str(self._state), run_id=record.run_id)
        source = plan.spec.source

        def expected() -> int:
            return count_lines(source) if isinstance(source, FilesSource) else between(record.starts, record.ends)

        return end_of(plan, expected, Waiting(self._redis_url, self._state, plan).count)

    def _note_end(self, record: JobRecord) -> None:
        run = find_run(self._state, record.run_id)
        if run is None or not run.process.endswith(f"#{record.last.job_id}"):  # it was resumed just now
            return
        if not run.ended_at:
            end_run(self._state, record.run_id, self._now())
        if has_ends(run):
            self._commit(self._state, record.run_id)
