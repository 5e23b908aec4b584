"""Run or submit a job: check everything that can be checked first, start what is needed, follow it to its end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import redis
import structlog
from redis.exceptions import RedisError

from deploy import stack
from deploy.addresses import Addresses, GivenAddresses
from deploy.model_server.catalogue import extras_for
from deploy.parts.index import NAME as INDEX
from materials.errors import Permanent, UsageError
from model_plugins import registry
from model_plugins.balancing import by_name
from pipeline.bounded_end import end_of
from pipeline.committed_ends import commit_ends
from pipeline.flink.java_errors import root_cause
from pipeline.flink.plan import JobPlan, plan
from pipeline.interrupts import StopWish
from pipeline.job_control import records
from pipeline.job_control.records import Incarnation, JobRecord
from pipeline.projection import PROGRESS
from pipeline.retrying import Queued, Returned, Waiting, pump_beside
from pipeline.run_bounds import RunBounds, needs_broker
from pipeline.run_records import process_mark, recorded, write_start
from pipeline.runs import RunSummary, new_run_id
from pipeline.spec import JobSpec, load
from reconcile.ledger.runs import end_run
from vector_index import policies

_POLL_S = 0.25
_LOOK_S = 1.0
_log = structlog.get_logger(__name__)


class Progress(Protocol):
    """Told how far a run is."""

    def stage(self, text: str) -> None:
        """A new step begins."""
        ...

    def update(self, counts: Mapping[str, int], total: int | None) -> None:
        """Outcomes so far, and how many there will be (None: the source is watched)."""
        ...

    def waiting(self, queued: Queued) -> None:
        """What has no outcome yet since it waits for another attempt."""
        ...


class Silent:
    """A `Progress` for programs."""

    def stage(self, text: str) -> None:
        """Says nothing."""

    def update(self, counts: Mapping[str, int], total: int | None) -> None:
        """Says nothing."""

    def waiting(self, queued: Queued) -> None:
        """Says nothing."""


def state_folder(option: Path | None, spec: JobSpec | None = None) -> Path:
    """`--state` > `SOSIE_STATE` > the spec's `state` > `./.sosie`."""
    named = os.environ.get("SOSIE_STATE")
    chosen = option or (Path(named) if named else None) or (spec.state if spec else None) or Path(".sosie")
    return chosen.expanduser().resolve()


def checked(path: Path, state: Path | None = None) -> JobSpec:
    """Load a spec and check what it names: plug-ins, strategies and policy.

    Raises:
        UsageError: with the nearest known name.
    """
    spec = load(path)
    registry.load(spec.plugin_names)
    for strategy in {*(use.balancer for use in spec.plugins), spec.registered.balancer}:
        by_name(strategy)
    policies.policy_named(spec.policy, policies.policies_of(state_folder(state, spec) / INDEX))
    return spec


def _extras(spec: JobSpec) -> tuple[str, ...]:
    """The heavy models that the local model server needs for the job."""
    models = [plugin.manifest.model for plugin in registry.load(spec.plugin_names).values()]
    return extras_for([model.name for model in models if model is not None])


def run_job(
    path: Path,
    state: Path | None = None,
    *,
    given: GivenAddresses | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run a job in the mini-cluster of this process until its input is read; a watched source until it is stopped.

    Starts the local stack when none runs on that state, and stops it again at the end; one that ran before goes on.

    Raises:
        UsageError: a spec, plug-in, policy or address that cannot work.
        Permanent: the job failed.
    """
    progress = progress or Silent()
    spec = checked(path, state)
    folder = state_folder(state, spec)
    given = given or GivenAddresses.read(os.environ)
    began = time.monotonic()
    ours = stack.find(folder) is None
    try:
        addresses = stack.up(folder, given, on_event=progress.stage, extras=_extras(spec), kafka=needs_broker(spec))
        stack_seconds = time.monotonic() - began
        job = plan(spec, addresses, folder, new_run_id(spec.name))
        bounds = RunBounds(job)
        job = bounds.job
        progress.stage("starting the job")
        with recorded(job, process_mark()):
            seconds = _execute(bounds, folder, progress)
        summary = _summary(bounds, folder, seconds=seconds, stack_seconds=stack_seconds)
        commit_ends(folder, job.run_id)
    finally:
        if ours:
            stack.down(folder)
    return summary


def run_in_chain(spec: JobSpec, folder: Path, chain: str) -> str:
    """Run a bounded job here, against the stack that runs on a state folder, as a part of an earlier run's chain.

    Returns:
        Its run id.

    Raises:
        UsageError: no stack runs there.
        Permanent: the job failed.
    """
    bounds = RunBounds(plan(spec, running_parts(folder), folder, new_run_id(spec.name), chain))
    job = bounds.job
    with recorded(job, process_mark()):
        _execute(bounds, folder, Silent())
    return job.run_id


class Submitted(msgspec.Struct, frozen=True):
    """A job on a cluster; `summary` once it was waited for."""

    job_id: str
    run_id: str
    summary: RunSummary | None = None


def submit_job(
    path: Path,
    cluster: str,
    state: Path | None = None,
    *,
    given: GivenAddresses | None = None,
    progress: Progress | None = None,
    wait: bool = False,
) -> Submitted:
    """Submit a job to a session cluster, against a stack that runs.

    Raises:
        UsageError: no stack on that state and no addresses given, or no cluster at that address.
        Permanent: it was waited for, and failed.
    """
    progress = progress or Silent()
    spec = checked(path, state)
    folder = state_folder(state, spec)
    job = plan(spec, running_parts(folder, given), folder, new_run_id(spec.name))
    record = JobRecord(
        run_id=job.run_id,
        name=spec.name,
        spec_path=str(path.resolve()),
        spec_json=job.spec_json,
        incarnations=(),
    )
    return launch(job, record, cluster, progress=progress, wait=wait)


def running_parts(folder: Path, given: GivenAddresses | None = None) -> Addresses:
    """The addresses of the stack that runs on a state folder, or of parts that were given.

    Raises:
        UsageError: there is none.
    """
    addresses = stack.find(folder) or _all_given(given or GivenAddresses.read(os.environ))
    if addresses is None:
        raise UsageError(f"no stack runs on {folder}", f"start one: sosie up --state {folder}")
    return addresses


def launch(
    job: JobPlan,
    record: JobRecord,
    cluster: str,
    *,
    progress: Progress,
    wait: bool = False,
    restore: Path | None = None,
) -> Submitted:
    """Put a job on a session cluster, from a savepoint or checkpoint on where one is given, and remember it.

    Raises:
        UsageError: no cluster at that address, or it does not take the job.
        Permanent: it was waited for, and failed.
    """
    from pipeline.flink import environment, graph

    spec, folder = job.spec, Path(job.state)
    environment.check_cluster(cluster)
    environment.prepare_gateway(folder / "log")
    bounds = RunBounds(job)
    if record.incarnations:  # it goes on: what it has to read was decided when it began
        bounds.job = msgspec.structs.replace(bounds.job, starts=record.starts, ends=record.ends)
    job = bounds.job
    progress.stage("submitting the job")
    env = environment.session_cluster(cluster, spec, folder / "checkpoints" / job.run_id, restore)
    graph.build(env, job)
    began, at = time.monotonic(), time.time()
    try:
        client = env.execute_async(job.run_id)
    except Exception as error:
        told = f"the cluster at {cluster} did not take the job: {root_cause(error)}"
        raise UsageError(told, "look at the JobManager's log") from error
    stay = Incarnation(
        job_id=str(client.get_job_id()),
        cluster=cluster,
        began=at,
        parallelism=spec.parallelism,
        restored=str(restore or ""),
    )
    begun = msgspec.structs.replace(
        record,
        incarnations=(*record.incarnations, stay),
        wish="run",
        savepoint="",
        starts=job.starts,
        ends=job.ends,
    )
    records.save(folder, begun)
    write_start(job, f"{cluster}#{stay.job_id}")
    if not wait:
        return Submitted(stay.job_id, job.run_id)
    with pump_beside(job.addresses.redis, folder), Waiting(job.addresses.redis, folder, job) as waiting:
        over = end_of(job, bounds.total, waiting.count)
        tell = _Told(progress, _counts_of(job), bounds.total(), waiting)
        _follow(client, tell, over, folder / "checkpoints" / job.run_id)
    end_run(folder, job.run_id, time.time())
    commit_ends(folder, job.run_id)
    summary = _summary(bounds, folder, seconds=time.monotonic() - began, stack_seconds=0.0)
    return Submitted(stay.job_id, job.run_id, summary)


def _summary(bounds: RunBounds, folder: Path, *, seconds: float, stack_seconds: float) -> RunSummary:
    counted = bounds.counted()
    return RunSummary(
        run_id=bounds.job.run_id,
        lines=bounds.lines(),
        outcomes=counted.outcomes,
        reasons=counted.reasons,
        seconds=round(seconds, 3),
        stack_start_seconds=round(stack_seconds, 3),
        results=bounds.results,
        state=folder,
    )


def _all_given(given: GivenAddresses) -> Addresses | None:
    if not (given.zookeeper and given.redis and given.index):
        return None
    return Addresses(
        zookeeper=given.zookeeper, redis=given.redis, index=given.index, triton=given.triton, kafka=given.kafka
    )


def _execute(bounds: RunBounds, folder: Path, progress: Progress) -> float:
    """Seconds from submission to the end of the job."""
    from pipeline.flink import environment, graph

    job, total = bounds.job, bounds.total()
    environment.prepare_gateway(folder / "log")
    checkpoints = folder / "checkpoints" / job.run_id
    read_counts = _counts_of(job)
    seconds = 0.0
    with pump_beside(job.addresses.redis, folder), Waiting(job.addresses.redis, folder, job) as waiting:
        over = end_of(job, bounds.total, waiting.count)
        returned = Returned(waiting, folder, job)
        told = _Told(progress, read_counts, total, waiting)
        again: list[Path] | None = None
        while again != []:  # a streaming job has one round: what comes back goes through its second source
            env = environment.mini_cluster(job.spec, checkpoints)
            graph.build(env, job, again)
            began = time.monotonic()
            client = env.execute_async(job.run_id)
            try:
                with StopWish().listening() as wish:
                    _follow(client, told, over, checkpoints, wish)
            except KeyboardInterrupt:
                _stop(client, folder / "savepoints", progress)
                return seconds + time.monotonic() - began
            again = returned.all(progress.waiting) if job.spec.mode == "batch" else []
            seconds += time.monotonic() - began
    shutil.rmtree(checkpoints, ignore_errors=True)  # of an ended job; a savepoint of a stopped one stands apart
    return seconds


class _Told:
    """What a person hears of a run that goes on."""

    def __init__(
        self, progress: Progress, counts: Callable[[], dict[str, int]], total: int | None, waiting: Waiting
    ) -> None:
        self.progress = progress
        self._counts, self._total, self._waiting = counts, total, waiting
        self._looked = 0.0

    def look(self) -> None:
        """Counts each time; the queue, which costs more, once a second."""
        self.progress.update(self._counts(), self._total)
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            self.progress.waiting(self._waiting.look())


def _follow(
    client: Any,
    told: _Told,
    over: Callable[[], bool],
    savepoints: Path,
    wish: StopWish | None = None,
) -> None:
    """Poll until the job ends, or end it when the run is over.

    Raises:
        Permanent: it failed.
        KeyboardInterrupt: a person wishes it to stop.
    """
    # The mini-cluster is gone as soon as its job ends, so its status cannot be asked for: the result's future stays.
    ended = client.get_job_execution_result()
    while not ended.done():
        time.sleep(_POLL_S)
        if wish is not None and wish.asked:
            raise KeyboardInterrupt
        told.look()
        if over():
            try:
                _stop(client, savepoints, told.progress)
            except Permanent as error:
                # It is cancelled then, and all it had to commit is committed: nothing for a person. An empty input is
                # read before the job's tasks are up, which refuses the savepoint.
                _log.info("finished_job_did_not_stop", error=str(error))
            return
    try:
        ended.result()
    except Exception as error:
        raise Permanent(f"the Flink job failed: {root_cause(error)}") from error


def _stop(client: Any, savepoints: Path, progress: Progress) -> None:
    """Stop with a savepoint, so that what was computed is committed to the sink."""
    from pyflink.java_gateway import get_gateway

    progress.stage("stopping: committing what is done")
    try:
        # pyflink's own stop_with_savepoint lacks the format, which Flink 2 insists on.
        formats = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType
        client._j_job_client.stopWithSavepoint(False, savepoints.as_uri(), formats.NATIVE).get()
    except Exception as error:
        with suppress(Exception):
            client.cancel().result()
        raise Permanent(f"the job did not stop cleanly: {root_cause(error)}") from error


def _counts_of(job: JobPlan) -> Callable[[], dict[str, int]]:
    connection = redis.Redis.from_url(job.addresses.redis, socket_timeout=1.0)

    def counts() -> dict[str, int]:
        try:
            found: Any = connection.hgetall(PROGRESS + job.run_id)
        except RedisError as error:
            _log.debug("no progress from Redis", error=str(error))
            return {}
        return {key.decode(): int(value) for key, value in found.items()}

    return counts
