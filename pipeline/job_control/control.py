"""List, stop, resume, rescale and cancel the jobs that were submitted from a state folder."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import structlog

from materials.errors import Permanent, Retryable, SosieError, UsageError
from pipeline import jobs
from pipeline.flink.plan import plan
from pipeline.job_control import records
from pipeline.job_control.records import JobRecord
from pipeline.job_control.rest import ENDED, FlinkRest, JobState
from pipeline.runs import count_lines, result_files
from pipeline.spec import FilesSink, FilesSource, JobSpec
from reconcile.ledger.runs import end_run

STOP_SECONDS = 600.0
_SLOTS_PATIENCE_S = 15.0
_POLL_S = 0.2
_log = structlog.get_logger(__name__)


class JobListed(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `sosie jobs list`.

    Attributes:
        state: the cluster's; `STOPPED` (with a savepoint), `LOST` (its cluster has forgotten it), `UNREACHABLE`.
        lag: records that wait in the source or have no committed outcome yet; None where nobody can tell.
        parallelism, since (epoch seconds): of the newest stay.
        stays: how often the run was put on a cluster.
        restore_point: what `sosie jobs resume` would go on from.
    """

    run_id: str
    name: str
    state: str
    job_id: str
    cluster: str
    since: float
    parallelism: int
    stays: int
    lag: int | None
    restore_point: str
    spec_path: str
    on_cluster: JobState | None = None


def list_jobs(state: Path, *, with_lag: bool = True) -> list[JobListed]:
    """All runs that are remembered, each with what its cluster says of it."""
    return [_listed(state, record, with_lag) for record in records.load_all(state)]


def stop(state: Path, wanted: str, *, savepoint: bool = True, seconds: float = STOP_SECONDS) -> JobRecord:
    """Stop a job; what was computed is committed. With a savepoint, or else from its newest checkpoint, it can go on.

    Raises:
        UsageError: no such job, or it does not run.
        Retryable, Permanent: the savepoint did not come about; the job goes on.
    """
    record = records.find(state, wanted)
    rest = _running(record)
    if not savepoint:
        return cancel(state, wanted, seconds=seconds)
    path = rest.stop(record.last.job_id, state / "savepoints" / record.run_id, seconds)
    record = msgspec.structs.replace(record, wish="stop", savepoint=str(path))
    records.save(state, record)
    return record


def cancel(state: Path, wanted: str, *, seconds: float = STOP_SECONDS) -> JobRecord:
    """End a job at once. What its newest checkpoint does not hold is computed again when it is resumed.

    Raises:
        UsageError: no such job, or it does not run.
        Retryable: it has not ended in time.
    """
    record = records.find(state, wanted)
    _running(record).cancel(record.last.job_id, seconds)
    record = msgspec.structs.replace(record, wish="cancel", savepoint="")
    records.save(state, record)
    end_run(state, record.run_id, time.time())
    return record


def resume(
    state: Path,
    wanted: str,
    *,
    cluster: str = "",
    parallelism: int | None = None,
    spec: Path | None = None,
    as_submitted: bool = False,
    progress: jobs.Progress | None = None,
    wait: bool = False,
) -> jobs.Submitted:
    """Put a stopped, cancelled, failed or lost job back on a cluster, from its newest savepoint or checkpoint on.

    Args:
        cluster: another one than it was on.
        parallelism: from now on; default: as before.
        spec: another file; by default the one it was submitted with, read again: what was changed there holds now.
        as_submitted: take the spec as it was, whatever its file says now.

    Raises:
        UsageError: it runs, it ended by itself, nothing is there to go on from, or the spec cannot take it over.
        Permanent: it was waited for, and failed.
    """
    record = records.find(state, wanted)
    where = cluster or record.last.cluster
    _refuse_running(record)
    restore = records.newest_restore_point(state, record.run_id)
    if restore is None:
        raise UsageError(f"{record.run_id} has no savepoint and no checkpoint", "submit it again: sosie submit SPEC")
    wanted_spec = _spec_of(record, state, spec, as_submitted)
    changed = msgspec.structs.replace(
        record,
        parallelism=parallelism or record.parallelism,
        spec_path=str(spec.resolve()) if spec else record.spec_path,
    )
    if changed.parallelism:
        wanted_spec = wanted_spec.model_copy(update={"parallelism": changed.parallelism})
    _check_slots(FlinkRest(where), wanted_spec.parallelism, 0)
    job = plan(wanted_spec, jobs.running_parts(state), state, record.run_id)
    changed = msgspec.structs.replace(changed, spec_json=job.spec_json)
    return jobs.launch(job, changed, where, progress=progress or jobs.Silent(), wait=wait, restore=restore)


def rescale(
    state: Path,
    wanted: str,
    parallelism: int,
    *,
    progress: jobs.Progress | None = None,
    seconds: float = STOP_SECONDS,
) -> jobs.Submitted:
    """Stop a job with a savepoint and go on with another parallelism; its spec stays as it was submitted.

    Raises:
        UsageError: no such job, it does not run, or the cluster has too few slots (found before it is stopped).
    """
    progress = progress or jobs.Silent()
    record = records.find(state, wanted)
    rest = _running(record)
    _check_slots(rest, parallelism, record.last.parallelism)
    progress.stage("stopping with a savepoint")
    stop(state, record.run_id, seconds=seconds)
    return resume(state, record.run_id, parallelism=parallelism, as_submitted=True, progress=progress)


def end_superseded(state: Path, cluster: str) -> list[str]:
    """Cancel what a cluster that came back goes on with although it was stopped, or resumed elsewhere, meanwhile.

    Returns the ids of those jobs. Two stays of one run at a time would write each outcome twice.
    """
    rest = FlinkRest(cluster)
    wanted = {record.last.job_id for record in records.load_all(state) if record.wish == "run"}
    known = {stay.job_id for record in records.load_all(state) for stay in record.incarnations}
    ended = []
    for job_id, (_, told) in rest.jobs().items():
        if told not in ENDED and job_id in known - wanted:
            rest.cancel(job_id, STOP_SECONDS)
            ended.append(job_id)
    return ended


def _listed(state: Path, record: JobRecord, with_lag: bool) -> JobListed:
    last = record.last
    rest = FlinkRest(last.cluster, seconds=2.0)
    found: JobState | None = None
    try:
        found = rest.job(last.job_id)
        told = found.state if found else "LOST"
    except SosieError as error:
        _log.debug("no state", job=record.run_id, error=str(error))
        told = "UNREACHABLE"
    if told in ("FINISHED", "LOST", "UNREACHABLE") and record.wish != "run":
        told = "STOPPED" if record.wish == "stop" else "CANCELED"
    restore = records.newest_restore_point(state, record.run_id)
    return JobListed(
        run_id=record.run_id,
        name=record.name,
        state=told,
        job_id=last.job_id,
        cluster=last.cluster,
        since=last.began,
        parallelism=last.parallelism,
        stays=len(record.incarnations),
        lag=_lag(record, rest, told) if with_lag else None,
        restore_point=str(restore or ""),
        spec_path=record.spec_path,
        on_cluster=found,
    )


def _lag(record: JobRecord, rest: FlinkRest, told: str) -> int | None:
    spec = JobSpec.model_validate_json(record.spec_json)
    if not (isinstance(spec.source, FilesSource) and isinstance(spec.sink, FilesSink)):
        try:
            return rest.pending_records(record.last.job_id) if told == "RUNNING" else None
        except SosieError as error:
            _log.debug("no lag", job=record.run_id, error=str(error))
            return None
    committed = 0
    for path in result_files(spec.sink.path, record.run_id):
        with path.open("rb") as file:
            committed += sum(1 for _ in file)
    return max(0, count_lines(spec.source) - committed)


def _running(record: JobRecord) -> FlinkRest:
    rest = FlinkRest(record.last.cluster)
    state = rest.state(record.last.job_id)
    if state is None or state in ENDED:
        told, remedy = why_not_running(record, state)
        raise UsageError(f"{record.run_id} does not run: {told}", remedy)
    return rest


def why_not_running(record: JobRecord, state: str | None) -> tuple[str, str]:
    """What became of a run, and what can be done.

    Args:
        state: its cluster's word; None: it knows nothing of the job.
    """
    resume = f"go on with: sosie jobs resume {record.run_id}"
    if record.wish == "stop":
        return f"it was stopped already, with the savepoint {record.savepoint}", resume
    if record.wish == "cancel":
        return "it was cancelled already; its newest checkpoint is kept", resume
    if state == "FINISHED":
        return "it has read its input to the end", "its results are in its sink; nothing is left to stop"
    if state is None:
        return "its cluster has lost it (a cluster without --ha forgets its jobs when it ends)", resume
    return f"it is {state} on its cluster", f"look at its state: sosie jobs list; then {resume}"


def _refuse_running(record: JobRecord) -> None:
    try:
        state = FlinkRest(record.last.cluster).state(record.last.job_id)
    except Retryable:
        return  # its cluster is gone, and the job with it
    if state is not None and state not in ENDED:
        raise UsageError(f"{record.run_id} runs ({state})", f"stop it first: sosie jobs stop {record.run_id}")
    if state == "FINISHED" and record.wish == "run":
        raise UsageError(f"{record.run_id} has read its input to the end", "submit a new run: sosie submit SPEC")


def _spec_of(record: JobRecord, state: Path, spec: Path | None, as_submitted: bool) -> JobSpec:
    before = JobSpec.model_validate_json(record.spec_json)
    path = spec or Path(record.spec_path)
    if as_submitted or (spec is None and not path.exists()):
        return before
    now = jobs.checked(path, state)
    if now.mode != "streaming":
        raise UsageError(f"{path}: a batch job cannot go on from a savepoint", "set `mode: streaming`")
    if now.source.kind != before.source.kind or now.sink.kind != before.sink.kind:
        raise UsageError(f"{path} has another kind of source or sink than {record.run_id}", "submit it as a new run")
    return now


def _check_slots(rest: FlinkRest, wanted: int, own: int) -> None:
    """Refuse what does not fit. Slots that were just given back are told a heartbeat later: a few seconds of patience.

    Args:
        own: slots that the job itself will give back first.
    """
    deadline = time.monotonic() + _SLOTS_PATIENCE_S
    while True:
        try:
            overview = rest.overview()
        except (Retryable, Permanent) as error:
            raise UsageError(str(error), "start one: sosie cluster up") from error
        free = int(overview["slots-available"]) + own
        if wanted <= free:
            return
        if wanted > int(overview["slots-total"]) or time.monotonic() > deadline:
            raise UsageError(
                f"parallelism {wanted} needs {wanted} slots, the cluster has {free} free of {overview['slots-total']}",
                "start more: sosie cluster up --taskmanagers N --slots M",
            )
        time.sleep(_POLL_S)
