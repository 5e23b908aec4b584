"""The summary is counted from files, so it can say that something is missing."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from materials.records import Outcome
from pipeline import runs
from pipeline.cli.jobs import BarProgress, summary_table
from pipeline.envelope import result_line
from pipeline.retrying import Queued
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
    counted = runs.count_outcomes(tmp_path, "run1")
    assert (counted.outcomes["unique"], counted.outcomes["rejected"]) == (1, 0)
    assert counted.reasons == {}


def test_refusals_are_counted_by_the_code_of_their_reason(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    said = [
        ("rejected", "missing_file: 'a.jpg' is not there"),
        ("rejected", "too_large: 'b.jpg' is larger than 5 bytes"),
        ("rejected", "missing_file: 'c: d.jpg' is not there"),
        ("dead", "retries_spent: nobody listens: at all"),
        ("dead", ""),
        ("unique", "a note: that is no refusal"),
    ]
    records = [msgspec.structs.replace(outcome(f"M{n}", kind), reason=why) for n, (kind, why) in enumerate(said)]
    (folder / "run1-x-0.jsonl").write_text("".join(result_line(each) + "\n" for each in records))
    counted = runs.count_outcomes(tmp_path, "run1")
    assert counted.outcomes == {"unique": 1, "duplicate": 0, "rejected": 3, "dead": 2, "deleted": 0}
    assert counted.reasons == {
        "rejected": {"missing_file": 2, "too_large": 1},
        "dead": {"retries_spent": 1, "unknown": 1},
    }
    assert list(counted.reasons["rejected"]) == ["missing_file", "too_large"]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    told = msgspec.structs.replace(summary(6, counted.outcomes), reasons=counted.reasons)
    console.print(summary_table(told))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert [line.split()[1] for line in shown.splitlines() if "missing_file" in line or "spent" in line] == [
        "missing_file",
        "retries_spent",
    ]


def test_what_waits_is_told_with_its_times() -> None:
    assert Queued(0).told(100.0) == ""
    assert Queued(1).told(100.0) == "1 waits for another attempt"
    assert Queued(1, 112.0, 112.0).told(100.0) == "1 waits for another attempt, the next due in 12 s"
    assert Queued(3, 112.0, 140.0).told(100.0) == "3 wait for another attempt, the next due in 12 s, the last in 40 s"
    assert "due in 0 s" in Queued(1, 90.0, 90.0).told(100.0)


def test_a_run_that_waits_is_not_silent_where_no_bar_can_be_drawn() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    with Progress(console=console, transient=True) as progress:
        bar = BarProgress(progress)
        bar.update({"unique": 7}, 9)
        for _ in range(3):
            bar.waiting(Queued(2, 4e9, 4e9))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("7 unique; 2 wait for another attempt, the next due in ") == 1, "once, not at each look"


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
