"""When a run is over, and that a bounded job on a cluster is ended then, once, and no other job is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from deploy.addresses import Addresses
from materials.errors import Permanent
from pipeline import jobs
from pipeline.bounded_end import BoundedEnd, CommittedCount
from pipeline.finishing import PATIENCE_S, Finisher
from pipeline.flink.kafka_offsets import left_to_commit
from pipeline.flink.plan import JobPlan
from pipeline.job_control import records
from pipeline.job_control.records import Incarnation, JobRecord
from pipeline.run_records import write_start
from pipeline.spec import FilesSink, FilesSource, JobSpec
from reconcile.ledger.rows import LedgerRow, encode, rows_folder
from reconcile.ledger.runs import find_run, write_run

ROW = {"window": 0, "kind": "post", "revision": 0, "source": "a", "partition": 0, "offset": -1, "policy": "feed"}


class Now:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def commit(state: Path, name: str, ended: int, entered: int = 0, run: str = "j-1") -> None:
    rows_folder(state).mkdir(parents=True, exist_ok=True)
    stages = ["ended"] * ended + ["entered"] * entered
    rows: list[Any] = [
        LedgerRow(material_id=f"{name}{n}", stage=stage, run=run, chain=run, job="j", entered_at=0, at=0, **ROW)  # type: ignore[arg-type]
        for n, stage in enumerate(stages)
    ]
    (rows_folder(state) / f"{run}-{name}.jsonl").write_text("".join(encode(row) + "\n" for row in rows))


def end_of(state: Path, clock: Now, expected: int, waiting: int | None = 0) -> BoundedEnd:
    rows = rows_folder(state)
    rows.mkdir(parents=True, exist_ok=True)
    return BoundedEnd("j-1", lambda: expected, CommittedCount(rows, "j-1"), lambda: waiting, [rows], clock)


def test_it_is_over_when_each_record_has_a_committed_outcome(tmp_path: Path) -> None:
    end = end_of(tmp_path, Now(), 5)
    commit(tmp_path, "a", ended=3, entered=5)
    commit(tmp_path, "x", ended=9, run="k-1")
    assert not end.reached(), "entered is not ended, and another run's rows do not count"
    commit(tmp_path, "b", ended=2)
    assert [end.reached(), end.reached()] == [False, True], "never in the moment of the last commit"


def test_it_waits_for_what_other_sinks_have_not_committed_but_not_for_ever(tmp_path: Path) -> None:
    clock = Now()
    end = end_of(tmp_path, clock, 1)
    commit(tmp_path, "a", ended=1)
    left = rows_folder(tmp_path) / ".j-1-b.jsonl.inprogress.1"
    left.touch()
    assert [end.reached(), end.reached()] == [False, False]
    clock.at = 13.0
    assert end.reached(), "a killed worker's file stays for ever"


def test_a_run_that_lost_records_ends_only_after_long_silence_and_with_an_empty_queue(tmp_path: Path) -> None:
    for waiting, over in ((0, True), (3, False), (None, False)):
        clock = Now()
        end = end_of(tmp_path, clock, 10, waiting)
        commit(tmp_path, "a", ended=1)
        assert not end.reached()
        clock.at = 1000.0
        assert end.reached() is over


class Cluster:
    """Its jobs' state, and which were stopped."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.now = "RUNNING"

    def state(self, job_id: str) -> str:
        return self.now

    def stop(self, job_id: str, folder: Path, seconds: float) -> Path:
        self.stopped.append(job_id)
        self.now = "FINISHED"
        return folder


def remember(state: Path, run_id: str, **source: Any) -> None:
    (state / "in.jsonl").write_text("{}\n{}\n")
    spec = JobSpec(
        name="j",
        source=FilesSource(path=state / "in.jsonl", **source),
        sink=FilesSink(path=state / "out"),
        plugins=("text-embedding",),  # type: ignore[arg-type]
    )
    stay = Incarnation(job_id=f"job-{run_id}", cluster="http://c:1", began=0.0, parallelism=1)
    spec_json = spec.model_dump_json()
    records.save(
        state, JobRecord(run_id=run_id, name="j", spec_path="j.yaml", spec_json=spec_json, incarnations=(stay,))
    )
    nowhere = Addresses(zookeeper="", redis="", index="")
    write_start(
        JobPlan(spec_json=spec_json, addresses=nowhere, state=str(state), run_id=run_id), f"http://c:1#job-{run_id}"
    )


def test_a_bounded_job_on_a_cluster_is_ended_once_it_is_over(tmp_path: Path) -> None:
    cluster: Any = Cluster()
    clock = Now()
    remember(tmp_path, "j-1")
    remember(tmp_path, "j-2", watch=True)
    commits: list[str] = []
    finisher = Finisher(
        tmp_path,
        "redis://127.0.0.1:1/0",
        lambda _url: cluster,
        clock,
        lambda: 77.0,
        lambda _state, run: commits.append(run),
    )
    commit(tmp_path, "a", ended=1)
    commit(tmp_path, "a", ended=7, run="j-2")
    assert [finisher.step(), finisher.step()] == [[], []]
    commit(tmp_path, "b", ended=1)
    assert [finisher.step(), finisher.step(), cluster.stopped] == [[], [], []], "who waits for it comes first"
    clock.at = PATIENCE_S + 1
    assert finisher.step() == ["j-1"]
    assert [finisher.step(), cluster.stopped] == [[], ["job-j-1"]]
    assert ended_at(tmp_path, "j-1") == 77.0
    assert commits == [], "its source is not Kafka"


def ended_at(state: Path, run_id: str) -> float:
    run = find_run(state, run_id)
    assert run is not None
    return run.ended_at


def test_the_end_of_any_job_is_noted_but_not_of_one_that_was_resumed_meanwhile(tmp_path: Path) -> None:
    cluster: Any = Cluster()
    for name in ("j-1", "j-2"):
        remember(tmp_path, name, watch=False)
    resumed = find_run(tmp_path, "j-2")
    assert resumed is not None
    write_run(tmp_path, msgspec.structs.replace(resumed, process="http://c:1#job-later"))
    finisher = Finisher(tmp_path, "redis://127.0.0.1:1/0", lambda _url: cluster, Now(), lambda: 5.0, _no_kafka)
    finisher.step()
    assert [ended_at(tmp_path, name) for name in ("j-1", "j-2")] == [0.0, 0.0]
    cluster.now = "FAILED"
    assert finisher.step() == []
    assert [ended_at(tmp_path, name) for name in ("j-1", "j-2")] == [5.0, 0.0]


def test_a_bounded_run_on_kafka_commits_its_ends_also_after_it_ended_by_itself(tmp_path: Path) -> None:
    cluster: Any = Cluster()
    remember(tmp_path, "j-1")
    run = find_run(tmp_path, "j-1")
    assert run is not None
    write_run(tmp_path, msgspec.structs.replace(run, source={"kind": "kafka"}, ends={"t": {0: 2}}))
    commits: list[str] = []
    finisher = Finisher(
        tmp_path,
        "redis://127.0.0.1:1/0",
        lambda _url: cluster,
        Now(),
        lambda: 5.0,
        lambda _state, name: commits.append(name),
    )
    cluster.now = "FINISHED"
    assert [finisher.step(), finisher.step(), commits] == [[], [], ["j-1"]]


def _no_kafka(_state: Path, run_id: str) -> None:
    raise AssertionError(run_id)


def test_offsets_never_go_back() -> None:
    ends = {"a": {0: 5, 1: 3}, "b": {0: 0}}
    assert left_to_commit(ends, {"a": {0: 2, 1: 9}}) == {"a": {0: 5}}
    assert left_to_commit(ends, {}) == {"a": {0: 5, 1: 3}}


class Unending:
    """A job whose end nobody hears of: its own result never comes."""

    def get_job_execution_result(self) -> Any:
        return self

    def done(self) -> bool:
        return False


class Mute:
    def look(self) -> None:
        pass

    progress = jobs.Silent()


def test_a_run_that_is_over_and_does_not_stop_cleanly_is_no_matter_for_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Permanent("org.apache.flink.runtime.checkpoint.CheckpointException: not all tasks are running")

    monkeypatch.setattr(jobs, "_stop", refuse)
    with capture_logs() as told:
        jobs._follow(Unending(), Mute(), lambda: True, tmp_path)  # type: ignore[arg-type]
    assert [(line["event"], line["log_level"]) for line in told] == [("finished_job_did_not_stop", "info")]
