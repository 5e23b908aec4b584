"""The summary is counted from files, so it can say that something is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from materials.records import Outcome
from pipeline import runs
from pipeline.envelope import result_line
from pipeline.spec import FilesSource


def outcome(name: str, kind: str) -> Outcome:
    return Outcome(material_id=name, revision=0, kind="post", outcome=kind)  # type: ignore[arg-type]


def test_lines_are_counted_as_the_job_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n\n  \n{}")
    (tmp_path / "b.json").write_text("{}\n")
    (tmp_path / ".hidden.jsonl").write_text("{}\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.jsonl").write_text("x\n")
    assert runs.count_lines(FilesSource(path=tmp_path)) == 3


def test_outcomes_of_one_run_only(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "run1-x-0.jsonl").write_text(result_line(outcome("A", "unique")) + "\n")
    (folder / "run2-x-0.jsonl").write_text(result_line(outcome("A", "rejected")) + "\n")
    (folder / ".run1-x-1.jsonl.inprogress.z").write_text("half a li")
    assert runs.count_outcomes(tmp_path, "run1")["unique"] == 1
    assert runs.count_outcomes(tmp_path, "run1")["rejected"] == 0


def summary(lines: int, outcomes: dict[str, int]) -> runs.RunSummary:
    return runs.RunSummary(
        run_id="r", lines=lines, outcomes=outcomes, seconds=1, stack_start_seconds=0, results=Path(), state=Path()
    )


def test_exit_codes() -> None:
    assert summary(2, {"unique": 1, "rejected": 1}).exit_code == 0
    assert summary(2, {"unique": 1, "dead": 1}).exit_code == 3
    assert summary(2, {"unique": 1}).exit_code == 1
    assert summary(2, {"unique": 3}).exit_code == 1


def test_run_ids_differ_and_start_with_the_name() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = runs.new_run_id("job", moment), runs.new_run_id("job", moment)
    assert first.startswith("job-20260102T030405Z-")
    assert first != second
