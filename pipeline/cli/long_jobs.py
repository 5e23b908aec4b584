"""`sosie jobs`: what was submitted to a session cluster, and how it goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline import jobs
from pipeline.cli import output
from pipeline.cli.jobs import print_summary, progress_bar
from pipeline.job_control import control
from pipeline.jobs import state_folder

group = typer.Typer(help="Jobs on a session cluster: list, stop, resume, rescale.", no_args_is_help=True)
Job = Annotated[str, typer.Argument(metavar="JOB", help="A run id, a Flink job id, or the spec's name.")]
Seconds = Annotated[float, typer.Option("--timeout", min=1, help="Seconds that it may take.")]
_COLOURS = {"RUNNING": "green", "FINISHED": "cyan", "STOPPED": "dim", "CANCELED": "dim", "FAILED": "bold red"}


@group.command("list", epilog="[bold]Example[/bold]: sosie jobs list --state ./state --json")
def list_(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """All jobs that were submitted from this state folder: state, last checkpoint, lag, spec."""
    found = control.list_jobs(state_folder(state))
    if as_json:
        output.print_json(found)
    elif not found:
        output.out.print("no job was submitted from here; see `sosie submit --help`")
    else:
        output.out.print(_table(found, time.time()))


@group.command("stop", epilog="[bold]Example[/bold]: sosie jobs stop my-job")
def stop(
    job: Job,
    savepoint: Annotated[
        bool, typer.Option("--savepoint/--no-savepoint", help="Without: end at once, keep the last checkpoint.")
    ] = True,
    timeout: Seconds = control.STOP_SECONDS,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Stop a job with a savepoint; what was computed is committed. `sosie jobs resume` goes on from there."""
    record = control.stop(state_folder(state), job, savepoint=savepoint, seconds=timeout)
    if as_json:
        output.print_json({"run_id": record.run_id, "savepoint": record.savepoint})
    else:
        kept = f"; savepoint: {record.savepoint}" if record.savepoint else ""
        output.out.print(escape(f"stopped {record.run_id}{kept}"), soft_wrap=True)


@group.command("cancel", epilog="[bold]Example[/bold]: sosie jobs cancel my-job")
def cancel(
    job: Job,
    timeout: Seconds = 60.0,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """End a job at once; its newest checkpoint stays, and `sosie jobs resume` can go on from it."""
    record = control.cancel(state_folder(state), job, seconds=timeout)
    if as_json:
        output.print_json({"run_id": record.run_id})
    else:
        output.out.print(escape(f"cancelled {record.run_id}"), soft_wrap=True)


@group.command("resume", epilog="[bold]Example[/bold]: sosie jobs resume my-job --parallelism 2")
def resume(
    job: Job,
    spec: Annotated[
        Path | None, typer.Option("--spec", help="Another spec; default: the file that was submitted, as it is now.")
    ] = None,
    as_submitted: Annotated[bool, typer.Option("--as-submitted", help="The spec as it was, not as it is now.")] = False,
    parallelism: Annotated[int | None, typer.Option("--parallelism", min=1, max=256, help="From now on.")] = None,
    cluster: Annotated[str, typer.Option("--cluster", help="Another cluster than it was on.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end and print its summary.")] = False,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Go on with a stopped, cancelled, failed or lost job, from its newest savepoint or checkpoint.

    The spec's file is read again: changed plug-ins, limits or sinks hold from here on.
    """
    with progress_bar(quiet=as_json) as progress:
        submitted = control.resume(
            state_folder(state),
            job,
            cluster=cluster,
            parallelism=parallelism,
            spec=spec,
            as_submitted=as_submitted,
            progress=progress,
            wait=wait,
        )
    _tell(submitted, "resumed", as_json)


@group.command("rescale", epilog="[bold]Example[/bold]: sosie jobs rescale my-job --parallelism 4")
def rescale(
    job: Job,
    parallelism: Annotated[int, typer.Option("--parallelism", min=1, max=256, help="Slots that it takes.")],
    timeout: Seconds = control.STOP_SECONDS,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Stop a job with a savepoint and go on with another parallelism."""
    with progress_bar(quiet=as_json) as progress:
        submitted = control.rescale(state_folder(state), job, parallelism, progress=progress, seconds=timeout)
    _tell(submitted, "rescaled", as_json)


def _tell(submitted: jobs.Submitted, verb: str, as_json: bool) -> None:
    if submitted.summary is not None:
        print_summary(submitted.summary, as_json)
        raise typer.Exit(submitted.summary.exit_code)
    if as_json:
        output.print_json(submitted)
    else:
        output.out.print(escape(f"{verb} {submitted.run_id}: job {submitted.job_id}"), soft_wrap=True)


def _table(found: list[control.JobListed], now: float) -> Table:
    table = Table()
    for heading in ("run", "state", "for", "last checkpoint", "lag", "parallelism", "spec"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("lag", "parallelism") else "left")
    for job in found:
        at = job.on_cluster.checkpoint if job.on_cluster else None
        checkpoint = f"#{at.number}, {_ago(now - at.at)} ago, {at.seconds:.1f} s" if at else "none"
        if job.on_cluster is None and job.restore_point:
            checkpoint = Path(job.restore_point).name
        state = f"[{_COLOURS.get(job.state, 'yellow')}]{job.state}[/]"
        if job.on_cluster and job.on_cluster.restarts:
            state += f" ({job.on_cluster.restarts} restarts)"
        lag = "?" if job.lag is None else str(job.lag)
        cells = (escape(job.run_id), state, _ago(now - job.since), checkpoint, lag, str(job.parallelism))
        table.add_row(*cells, escape(job.spec_path))
    return table


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(group, name="jobs")
