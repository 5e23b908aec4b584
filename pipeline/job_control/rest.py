"""Flink's REST interface, as far as jobs are looked after with it.

https://nightlies.apache.org/flink/flink-docs-stable/docs/ops/rest_api/
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from materials.errors import Permanent, Retryable

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
_POLL_S = 0.1


class Checkpoint(msgspec.Struct, frozen=True):
    """A completed checkpoint. `at`: epoch seconds; `path`: empty where it is not retained."""

    number: int
    at: float
    seconds: float
    size_bytes: int
    path: str


class JobState(msgspec.Struct, frozen=True):
    """A job as the cluster sees it.

    Attributes:
        state: `RUNNING`, `RESTARTING`, `FINISHED`, `CANCELED`, `FAILED` …
        started: epoch seconds.
        restarts: since it was submitted.
        tasks: subtasks by state.
        checkpoint: the last that completed.
        failed_checkpoints: since it was submitted.
    """

    job_id: str
    name: str
    state: str
    started: float
    restarts: int = 0
    tasks: dict[str, int] = {}
    checkpoint: Checkpoint | None = None
    failed_checkpoints: int = 0


class FlinkRest:
    """One cluster.

    Args:
        url: `http://host:port`.
        seconds: for one answer.
        sleep, clock: of the waits for savepoints and for the end of a job.
    """

    def __init__(
        self,
        url: str,
        seconds: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}")
        self._address = parts.netloc
        self._seconds, self._sleep, self._clock = seconds, sleep, clock

    def overview(self) -> dict[str, Any]:
        """Task managers and slots."""
        found: dict[str, Any] = self._ask("GET", "/overview")
        return found

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Job id -> (name, state) of all jobs that the cluster still knows."""
        return {job["jid"]: (job["name"], job["state"]) for job in self._ask("GET", "/jobs/overview")["jobs"]}

    def state(self, job_id: str) -> str | None:
        """Only the job's state; None: the cluster does not know it."""
        try:
            found: str = self._ask("GET", f"/jobs/{job_id}/status")["status"]
        except _NotFound:
            return None
        return found

    def job(self, job_id: str) -> JobState | None:
        """All that is told of a job; None: the cluster does not know it."""
        state = self.state(job_id)  # what follows comes out of a cache, and may be three seconds old
        if state is None:
            return None
        try:
            job = self._ask("GET", f"/jobs/{job_id}")
        except _NotFound:
            return None
        try:
            checkpoints = self._ask("GET", f"/jobs/{job_id}/checkpoints")
        except _NotFound:  # a batch job has none
            checkpoints = {}
        return JobState(
            job_id=job["jid"],
            name=job["name"],
            state=state,
            started=job["start-time"] / 1000,
            restarts=self._restarts(job_id),
            tasks={name: count for name, count in job.get("status-counts", {}).items() if count},
            checkpoint=_checkpoint((checkpoints.get("latest") or {}).get("completed")),
            failed_checkpoints=(checkpoints.get("counts") or {}).get("failed", 0),
        )

    def pending_records(self, job_id: str) -> int | None:
        """What its sources say that still waits for them; None where no source tells (files do not)."""
        waiting = None
        for vertex in self._ask("GET", f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [metric["id"] for metric in self._list(path) if metric["id"].endswith(".pendingRecords")]
            if names:
                values = self._list(f"{path}?agg=sum&get={quote(','.join(names), safe=',')}")
                waiting = (waiting or 0) + sum(round(value.get("sum", 0)) for value in values)
        return waiting

    def stop(self, job_id: str, savepoints: Path, seconds: float) -> Path:
        """Stop a job with a savepoint in a folder below `savepoints`, its results committed.

        Raises:
            Permanent: the savepoint failed; the job goes on.
            Retryable: it is not done after `seconds`.
        """
        body = {"targetDirectory": savepoints.as_uri(), "drain": False, "formatType": "CANONICAL"}
        path = self._savepoint(job_id, "stop", body, seconds)
        self.wait_ended(job_id, seconds)
        return path

    def savepoint(self, job_id: str, savepoints: Path, seconds: float) -> Path:
        """A savepoint of a job that goes on. Raises as `stop` does."""
        body = {"target-directory": savepoints.as_uri(), "cancel-job": False, "formatType": "CANONICAL"}
        return self._savepoint(job_id, "savepoints", body, seconds)

    def cancel(self, job_id: str, seconds: float) -> str:
        """End a job at once; its newest checkpoint stays. Returns its last state.

        Raises:
            Retryable: it has not ended after `seconds`.
        """
        self._ask("PATCH", f"/jobs/{job_id}?mode=cancel")
        return self.wait_ended(job_id, seconds)

    def wait_ended(self, job_id: str, seconds: float) -> str:
        """Poll until the job has ended; its last state, `FINISHED` where the cluster has forgotten it."""
        deadline = self._clock() + seconds
        while True:
            state = self.state(job_id)
            if state is None or state in ENDED:
                return state or "FINISHED"
            if self._clock() > deadline:
                raise Retryable(f"job {job_id} is {state} after {seconds:g} s")
            self._sleep(_POLL_S)

    def _savepoint(self, job_id: str, verb: str, body: dict[str, Any], seconds: float) -> Path:
        trigger = self._ask("POST", f"/jobs/{job_id}/{verb}", body)["request-id"]
        deadline = self._clock() + seconds
        while True:
            answer = self._ask("GET", f"/jobs/{job_id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                break
            if self._clock() > deadline:
                raise Retryable(f"the savepoint of job {job_id} is not done after {seconds:g} s")
            self._sleep(_POLL_S)
        operation = answer["operation"]
        if "location" not in operation:
            cause = operation.get("failure-cause", {}).get("stack-trace", "no reason given")
            told = [line.strip() for line in cause.splitlines() if line.strip() and not line.strip().startswith("at ")]
            raise Permanent(f"the savepoint of job {job_id} failed: {told[-1] if told else cause}")
        return Path(unquote(urlsplit(operation["location"]).path))

    def _restarts(self, job_id: str) -> int:
        values = self._list(f"/jobs/{job_id}/metrics?get=numRestarts")
        return int(float(values[0]["value"])) if values else 0

    def _list(self, path: str) -> list[dict[str, Any]]:
        found = self._ask("GET", path)
        assert isinstance(found, list)  # noqa: S101 (these addresses answer lists)
        return found

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self._address, timeout=self._seconds)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Retryable(f"the Flink cluster at {self._address} does not answer: {error}") from error
        finally:
            connection.close()
        # A cluster that came back with its jobs answers 500 for one that ended before.
        if answer.status == 404 or b"FlinkJobNotFoundException" in data:
            raise _NotFound(path)
        if answer.status == 503:
            raise Retryable(f"the Flink cluster at {self._address} has no leader just now")
        if answer.status >= 400:
            raise Permanent(f"{method} {path} answers {answer.status}: {_told(data)}")
        return json.loads(data or b"{}")


class _NotFound(Permanent):
    def __init__(self, path: str) -> None:
        super().__init__(f"the Flink cluster does not know {path}")


def _told(data: bytes) -> str:
    try:
        errors = json.loads(data)["errors"]
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")[:200]
    lines = [line.strip() for error in errors for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("at ", "..."))]
    return told[-1][:300] if told else "no reason given"


def _checkpoint(found: dict[str, Any] | None) -> Checkpoint | None:
    if not found:
        return None
    return Checkpoint(
        number=found["id"],
        at=found["latest_ack_timestamp"] / 1000,
        seconds=found["end_to_end_duration"] / 1000,
        size_bytes=found["state_size"],
        path=unquote(urlsplit(found.get("external_path") or "").path),
    )
