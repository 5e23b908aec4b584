"""What is remembered of submitted jobs, and which savepoint or checkpoint is the one to go on from."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec
import pytest

from materials.errors import UsageError
from pipeline.cli.cluster import submit_hint
from pipeline.job_control import control
from pipeline.job_control.records import Incarnation, JobRecord, find, load_all, newest_restore_point, save
from pipeline.job_control.rest import FlinkRest


def record(run_id: str, name: str = "news", began: float = 1.0, wish: str = "run") -> JobRecord:
    stay = Incarnation(job_id=f"job-{run_id}", cluster="http://c:1", began=began, parallelism=1)
    return JobRecord(run_id=run_id, name=name, spec_path="/s.yaml", spec_json="{}", incarnations=(stay,), wish=wish)


def test_a_record_comes_back_as_it_was_and_the_oldest_first(tmp_path: Path) -> None:
    late, early = record("r1", began=2.0), record("r2", began=1.0)
    offsets = msgspec.structs.replace(late, starts={"in": {0: 7}}, savepoint="/s")
    save(tmp_path, offsets)
    save(tmp_path, early)
    assert load_all(tmp_path) == [early, offsets]
    assert not list((tmp_path / "jobs").glob("*.tmp"))


def test_a_job_is_found_by_run_by_job_and_by_a_name_that_means_one(tmp_path: Path) -> None:
    for each in (record("r1", wish="stop"), record("r2"), record("r3", name="other")):
        save(tmp_path, each)
    assert find(tmp_path, "r1").run_id == "r1"
    assert find(tmp_path, "job-r3").run_id == "r3"
    assert find(tmp_path, "news").run_id == "r2", "the other one was stopped"
    save(tmp_path, record("r4"))
    with pytest.raises(UsageError, match="2 runs are named 'news'"):
        find(tmp_path, "news")
    with pytest.raises(UsageError, match="no job 'nobody'"):
        find(tmp_path, "nobody")


def test_the_newest_complete_picture_is_the_one_to_go_on_from(tmp_path: Path) -> None:
    def picture(where: str, at: int, complete: bool = True) -> Path:
        folder = tmp_path / where
        folder.mkdir(parents=True)
        if complete:
            (folder / "_metadata").write_bytes(b"")
            os.utime(folder / "_metadata", (at, at))
        return folder

    assert newest_restore_point(tmp_path, "r1") is None
    picture("checkpoints/r1/job/chk-3", 30)
    picture("savepoints/r2/savepoint-1", 99)
    savepoint = picture("savepoints/r1/savepoint-1", 40)
    assert newest_restore_point(tmp_path, "r1") == savepoint
    newer = picture("checkpoints/r1/job2/chk-9", 50)
    picture("checkpoints/r1/job2/chk-10", 60, complete=False)
    assert newest_restore_point(tmp_path, "r1") == newer


@pytest.mark.parametrize(
    ("wish", "state", "told", "remedy"),
    [
        ("stop", "FINISHED", "it was stopped already, with the savepoint /save/1", "sosie jobs resume r1"),
        ("stop", None, "it was stopped already, with the savepoint /save/1", "sosie jobs resume r1"),
        ("cancel", "CANCELED", "it was cancelled already", "sosie jobs resume r1"),
        ("run", "FINISHED", "it has read its input to the end", "nothing is left to stop"),
        ("run", "FAILED", "it is FAILED on its cluster", "sosie jobs list"),
        ("run", None, "its cluster has lost it", "sosie jobs resume r1"),
    ],
)
def test_a_job_that_does_not_run_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, state: str | None, told: str, remedy: str
) -> None:
    monkeypatch.setattr(FlinkRest, "state", lambda _rest, _job: state)
    save(tmp_path, msgspec.structs.replace(record("r1", wish=wish), savepoint="/save/1"))
    with pytest.raises(UsageError) as caught:
        control.stop(tmp_path, "news")
    assert caught.value.message.startswith(f"r1 does not run: {told}")
    assert remedy in caught.value.remedy


def test_the_hint_to_submit_names_the_state_folder(tmp_path: Path) -> None:
    hint = submit_hint("http://127.0.0.1:8081", tmp_path / "my state")
    named = shlex.split(hint)
    assert named[named.index("--state") + 1] == str(tmp_path / "my state")
