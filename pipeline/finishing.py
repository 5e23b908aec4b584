"""Ends bounded jobs on a cluster that nobody waits for: their second source is watched, so they do not end themselves.

Runs beside the pump of the stack. Whoever waits for a job (`sosie submit --wait`) ends it first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from deploy.addresses import Addresses
from materials.errors import SosieError
from pipeline.bounded_end import end_of
from pipeline.flink.kafka_offsets import between
from pipeline.flink.plan import JobPlan
from pipeline.job_control import records
from pipeline.job_control.records import JobRecord
from pipeline.job_control.rest import ENDED, FlinkRest
from pipeline.retrying import Waiting
from pipeline.run_bounds import is_endless
from pipeline.runs import count_lines
from pipeline.spec import FilesSource

LOOK_S = 2.0
PATIENCE_S = 10.0
"""From the moment in which a run is over: whoever waits for it ends it within this time."""
STOP_S = 120.0
log = structlog.get_logger(__name__)


class Finisher:
    """Looks after the runs that are remembered in a state folder.

    Args:
        state: the system's folder.
        redis_url: of the retry queue.
        cluster: REST address -> its interface.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        state: Path,
        redis_url: str,
        cluster: Callable[[str], FlinkRest] = FlinkRest,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._redis_url = redis_url
        self._cluster = cluster
        self._clock = clock
        self._over: dict[str, Callable[[], bool]] = {}
        self._since: dict[str, float] = {}
        self._ended: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.wait(LOOK_S):
            try:
                self.step()
            except (SosieError, OSError, msgspec.MsgspecError) as error:
                log.warning("finisher_waits", error=str(error))

    def step(self) -> list[str]:
        """The runs that were ended just now.

        Raises:
            Retryable, Permanent: a cluster does not answer or its job did not stop; the next step tries again.
        """
        done = []
        for record in records.load_all(self._state):
            if record.run_id in self._ended or not record.incarnations or record.wish != "run":
                continue
            if self._is_over(record) and self._end(record):
                done.append(record.run_id)
        return done

    def _is_over(self, record: JobRecord) -> bool:
        over = self._over.get(record.run_id)
        if over is None:
            over = self._over[record.run_id] = self._end_of(record)
        if not over():
            self._since.pop(record.run_id, None)
            return False
        return self._clock() - self._since.setdefault(record.run_id, self._clock()) >= PATIENCE_S

    def _end_of(self, record: JobRecord) -> Callable[[], bool]:
        nowhere = Addresses(zookeeper="", redis=self._redis_url, index="")
        plan = JobPlan(spec_json=record.spec_json, addresses=nowhere, state=str(self._state), run_id=record.run_id)
        source = plan.spec.source
        if is_endless(source) or plan.spec.mode == "batch":
            self._ended.add(record.run_id)
            return lambda: False

        def expected() -> int:
            return count_lines(source) if isinstance(source, FilesSource) else between(record.starts, record.ends)

        return end_of(plan, expected, Waiting(self._redis_url, self._state, plan).count)

    def _end(self, record: JobRecord) -> bool:
        """Whether it was still there to be ended."""
        rest = self._cluster(record.last.cluster)
        state = rest.state(record.last.job_id)
        if state is not None and state not in ENDED:
            log.info("bounded_job_is_over", run=record.run_id)
            rest.stop(record.last.job_id, self._state / "savepoints" / record.run_id, STOP_S)
        self._ended.add(record.run_id)
        return state is not None and state not in ENDED
