"""`sosie demo`: make the input, run the job, compare with the truth, tell."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import stack
from deploy.addresses import GivenAddresses
from materials.errors import Rejected, UsageError
from materials.parsing import parse_line
from materials.records import Material, Outcome
from pipeline.demo.build import Built, build
from pipeline.demo.previews import previews_from
from pipeline.demo.report import Run, render
from pipeline.demo.score import Pairs, Score, score
from pipeline.demo.understood import understood
from pipeline.jobs import Progress
from pipeline.runs import RunSummary, read_results

PRECISION_AIM: Final = 0.95
RECALL_AIM: Final = 0.85
_STATE_STAMP: Final = "demo.stamp"


def demo(out: Path, state: Path | None = None, *, console: Console) -> int:
    """Fill `out` (usually `out/demo`), print a table and where the report lies.

    Run again on the same state, it is a replay: the same content IDs, and nothing new in the index.

    Returns:
        0 done; 1 when a line has not exactly one outcome or a planted bad input was not rejected; 3 when a material
        is dead, or precision or recall miss their aim.

    Raises:
        materials.errors.SosieError: the media or the stack could not be had, or the job failed.
    """
    from pipeline.cli.jobs import progress_bar
    from pipeline.jobs import run_job, state_folder
    from pipeline.spec import load

    out = out.resolve()
    with progress_bar() as progress:
        progress.stage("assembling photos, videos and texts")
        built = build(out)
        used = state_folder(state, load(built.spec))
        if used == built.state:
            drop_stale_state(built)
        for name in ("results", "dead"):
            shutil.rmtree(out / name, ignore_errors=True)
        with _running(used, progress) as (redis, stack_seconds):
            summary = msgspec.structs.replace(
                run_job(built.spec, used, progress=progress), stack_start_seconds=round(stack_seconds, 3)
            )
            progress.stage("comparing with the truth")
            results = list(read_results(out, summary.run_id))
            judged = conclude(built, results, summary, understood(redis, [each.material_id for each in results]))
    console.print(score_table(judged, summary))
    for problem in judged.problems:
        console.print(f"[red]problem:[/red] {escape(problem)}", soft_wrap=True)
    console.print(f"report   {escape(str(out / 'report.html'))}", soft_wrap=True)
    console.print(f"ask      sosie content get img-china --state {escape(str(used))}", soft_wrap=True)
    return exit_code(judged, summary)


def drop_stale_state(built: Built) -> None:
    """Empty the demo's own state folder when it remembers another input: its materials would be in conflict.

    Raises:
        UsageError: a stack still runs on it.
    """
    note = built.state / _STATE_STAMP
    known = note.read_text().strip() if note.is_file() else ""
    if built.state.exists() and known != built.stamp:
        if stack.find(built.state) is not None:
            raise UsageError(
                f"a stack runs on {built.state}, which holds another demo", f"stop it: sosie down --state {built.state}"
            )
        shutil.rmtree(built.state)
    built.state.mkdir(parents=True, exist_ok=True)
    note.write_text(built.stamp + "\n")


@contextmanager
def _running(state: Path, progress: Progress) -> Iterator[tuple[str, float]]:
    """A stack on that state: Redis, and the seconds that it took to start. One that ran before goes on afterwards."""
    ours = stack.find(state) is None
    began = time.monotonic()
    try:
        addresses = stack.up(state, GivenAddresses.read(os.environ), on_event=progress.stage)
        yield addresses.redis, time.monotonic() - began
    finally:
        if ours:
            stack.down(state)


def conclude(built: Built, results: list[Outcome], summary: RunSummary, said: Mapping[str, str]) -> Score:
    """Score the results, and write `summary.json` and `report.html`.

    Args:
        said: what plug-ins understood of a material.
    """
    truth = {row["material_id"]: row["cluster"] for row in _rows(built.folder / "truth.jsonl")}
    defects = {row["material_id"]: row["defect"] for row in _rows(built.folder / "planted.jsonl")}
    judged = score(truth, list(defects), results)
    run = Run(
        materials=read_materials(built.folder / "input"),
        results=results,
        truth=truth,
        defects=defects,
        score=judged,
        seconds=summary.seconds,
        stack_start_seconds=summary.stack_start_seconds,
        understood=said,
    )
    html = render(run, previews_from(built.folder / "input"))
    (built.folder / "report.html").write_text(html, encoding="utf-8")
    text = json.dumps(summary_record(built.lines, judged, summary), indent=2, ensure_ascii=False)
    (built.folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    return judged


def summary_record(lines: int, judged: Score, summary: RunSummary) -> dict[str, Any]:
    """What `summary.json` holds."""
    return {
        "materials": lines,
        "outcomes": judged.outcomes,
        "pair_precision": round(judged.overall.precision, 4),
        "pair_recall": round(judged.overall.recall, 4),
        "seconds": summary.seconds,
        "stack_start_seconds": summary.stack_start_seconds,
        "outcomes_by_kind": judged.by_kind_outcomes,
        "pairs": {kind: _pairs(pairs) for kind, pairs in {**judged.by_kind, "all": judged.overall}.items()},
        "problems": judged.problems,
        "run_id": summary.run_id,
    }


def _pairs(pairs: Pairs) -> dict[str, float]:
    ratios = {"precision": round(pairs.precision, 4), "recall": round(pairs.recall, 4)}
    return {**msgspec.to_builtins(pairs), **ratios}


def score_table(judged: Score, summary: RunSummary) -> Table:
    """Outcomes and pairs by kind, for the terminal."""
    table = Table(
        title=f"{summary.lines} inputs in {summary.seconds:.1f} s (stack up in {summary.stack_start_seconds:.1f} s)",
        title_justify="left",
    )
    table.add_column("kind", style="bold")
    for name in ("unique", "duplicate", "rejected", "dead", "precision", "recall"):
        table.add_column(name, justify="right")
    for kind in sorted(judged.by_kind_outcomes, key=lambda k: (k not in judged.by_kind, k)):
        _add_row(table, kind, judged.by_kind_outcomes[kind], judged.by_kind.get(kind))
    table.add_section()
    _add_row(table, "all", judged.outcomes, judged.overall)
    return table


def _add_row(table: Table, kind: str, counts: dict[str, int], pairs: Pairs | None) -> None:
    ratios = (f"{pairs.precision:.3f}", f"{pairs.recall:.3f}") if pairs else ("", "")
    numbers = [str(counts.get(name, 0)) for name in ("unique", "duplicate", "rejected", "dead")]
    table.add_row(escape("unreadable" if kind == "?" else kind), *numbers, *ratios)


def exit_code(judged: Score, summary: RunSummary) -> int:
    """0 done, 1 a line without its one outcome or a bad input let through, 3 an objective missed."""
    if judged.problems and not judged.outcomes.get("dead"):
        return 1
    missed = judged.overall.precision < PRECISION_AIM or judged.overall.recall < RECALL_AIM
    return max(summary.exit_code, 3 if missed else 0)


def read_materials(folder: Path) -> dict[str, Material]:
    """The records of the streams that can be read, by id."""
    materials = {}
    for path in sorted(folder.glob("*.jsonl")):
        for raw in path.read_bytes().splitlines():
            try:
                material = parse_line(raw, path.name)
            except Rejected:
                continue
            materials[material.material_id] = material
    return materials


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
