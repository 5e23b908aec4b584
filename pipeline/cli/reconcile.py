"""`sosie reconcile`: whether everything that entered has ended, and where not."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from deploy.parts.index import NAME as INDEX
from materials.errors import UsageError
from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.reconciling.reconciliation import Settings
from pipeline.reconciling.repair import Repaired
from pipeline.reconciling.session import Asked, reconcile
from reconcile.ledger.rows import WINDOW_S
from reconcile.report import store
from reconcile.report.objectives import Objectives
from reconcile.report.page import verdict
from reconcile.report.records import Report
from reconcile.report.table import moment

EXIT_MISSED = 3
_UNITS = {"m": 60, "h": 3600, "d": 86_400}
group = typer.Typer(help="Reconcile what entered with what ended; read reports.", no_args_is_help=True)


@group.command(
    "run",
    epilog="[bold]Example[/bold]: sosie reconcile run --window 1h    "
    "sosie reconcile run --window 10m --from 2026-01-01T12:00:00Z --repair --budget 500",
)
def run(
    window: Annotated[str, typer.Option("--window", help="Length of a window: 10m, 1h, 1d.")] = "1h",
    begin: Annotated[str, typer.Option("--from", help="RFC 3339; default: the first run of the last 24 hours.")] = "",
    end: Annotated[str, typer.Option("--to", help="RFC 3339; default: now.")] = "",
    repair: Annotated[bool, typer.Option("--repair", help="Replay what is missing, and report again.")] = False,
    budget: Annotated[int, typer.Option("--budget", min=1, help="The most records that a repair replays.")] = 1000,
    late: Annotated[str, typer.Option("--late", help="An outcome that takes longer is late.")] = "10m",
    p99: Annotated[float, typer.Option("--p99", help="Objective for the 99th percentile in seconds; 0: none.")] = 0.0,
    settle: Annotated[str, typer.Option("--settle", help="Younger records of a running job are in flight.")] = "1m",
    sample: Annotated[int, typer.Option("--sample", min=0, max=1000, help="Materials to compute again.")] = 5,
    canary: Annotated[bool, typer.Option(help="Send a canary through the sources of jobs that go on.")] = True,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Count the source again, compare it with ledger, results, Redis and index, and write a report.

    Exit code 0: every objective is met; 3: one is missed.
    """
    length = seconds(window)
    if length < WINDOW_S or length % WINDOW_S:
        raise UsageError(f"a window of {window} is no number of minutes", "give e.g. --window 10m or --window 1h")
    folder = state_folder(state)
    where = lookups.addresses(folder)
    asked = Asked(
        window_s=length,
        begin=_moment(begin),
        end=_moment(end),
        settings=Settings(settle_s=seconds(settle), objectives=Objectives(late_s=seconds(late), p99_s=p99)),
        sample=sample,
        canary=canary,
        budget=budget if repair else 0,
    )
    with output.err.status("comparing") if not as_json else nullcontext():
        answer = reconcile(folder, where, folder / INDEX / "log.sqlite", asked, now=time.time)
    if answer.repaired is not None and not as_json:
        _tell_repair(answer.repaired)
    _show(answer.report, answer.path, as_json)
    if not answer.report.met:
        raise typer.Exit(EXIT_MISSED)


@group.command(
    "report", epilog="[bold]Example[/bold]: sosie reconcile report    sosie reconcile report NAME --revision 1"
)
def report(
    name: Annotated[str, typer.Argument(help="A report; default: the newest one.")] = "",
    revision: Annotated[int, typer.Option("--revision", min=0, help="Default: the newest one.")] = 0,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Show a report that was made before; exit codes as `sosie reconcile run`'s."""
    path = store.find(store.reports_folder(state_folder(state)), name, revision)
    found = store.read(path)
    _show(found, path, as_json)
    if not found.met:
        raise typer.Exit(EXIT_MISSED)


def seconds(length: str) -> int:
    """`90s`, `10m`, `1h`, `1d` -> seconds.

    Raises:
        UsageError: it is no length of time.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", length.strip())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"{length!r} is no length of time", "give e.g. 10m, 1h or 1d")
    return int(found[1]) * _UNITS.get(found[2], 1)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no moment", "give RFC 3339, e.g. 2026-01-01T12:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _tell_repair(done: Repaired) -> None:
    output.out.print(f"repaired: {done.replayed} records replayed, {done.redis} outcomes written to Redis")
    if done.left:
        output.out.print(f"{done.left} lost records are beyond the budget: run it again, or raise --budget")
    for chain, why in done.refused.items():
        output.out.print(f"not replayed: {chain}: {why}", markup=False, soft_wrap=True)


def _show(report: Report, path: Path, as_json: bool) -> None:
    if as_json:
        output.print_json(report)
        return
    colour = "green" if report.met else "red"
    output.out.print(f"[bold {colour}]{escape(verdict(report))}[/]", soft_wrap=True)
    output.out.print(f"{moment(report.begin)} to {moment(report.end)}, revision {report.revision}")
    table = Table("objective", "target", "is", "")
    for one in report.objectives:
        table.add_row(one.name, one.target, one.value, "met" if one.met else "[red]missed[/red]")
    output.out.print(table)
    if report.discrepancies:
        listed = Table("what", "record", "detail")
        for found in report.discrepancies[:20]:
            listed.add_row(found.name, f"{escape(found.material_id)} r{found.revision}", escape(found.detail))
        output.out.print(listed)
        if len(report.discrepancies) > 20:
            output.out.print(f"and {len(report.discrepancies) - 20} more")
    for run_id, why in report.uncounted.items():
        output.out.print(f"not counted: {run_id}: {why}", markup=False, soft_wrap=True)
    output.out.print(f"page: {path.with_suffix('.html')}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(group, name="reconcile")
