"""`sosie run` and `sosie submit`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline import jobs
from pipeline.cli import output
from pipeline.retrying import Queued
from pipeline.runs import RunSummary
from pipeline.spec import explain

_SPEC = """[bold]Example job.yaml[/bold]

  name: my-job
  source: {kind: files, path: input}     [dim]# a .jsonl file, or a folder of them[/dim]
  sink: {kind: files, path: out}         [dim]# gets results/*.jsonl and dead/*.jsonl[/dim]
  plugins: [image-embedding, image-pdq, image-local, video-embedding, video-local, text-embedding]
  policy: feed

[bold]Example[/bold]: sosie run job.yaml --state ./state"""

_AGAIN_S = 30.0
Spec = Annotated[Path, typer.Argument(help="The job spec, a YAML file.", show_default=False)]


class BarProgress:
    """Progress of a run as a bar on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("…", total=None)
        self._counted, self._waits, self._told_at = "running", "", 0.0

    def stage(self, text: str) -> None:
        """A new step begins."""
        self._progress.update(self._task, description=text)

    def update(self, counts: Mapping[str, int], total: int | None) -> None:
        """Outcomes so far."""
        self._counted = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "running"
        self._progress.update(self._task, completed=sum(counts.values()), total=total)
        self._describe()

    def waiting(self, queued: Queued) -> None:
        """Beside the counts. Where no bar can be drawn a line says so when it begins, and now and then."""
        now = time.time()
        self._waits = queued.told(now)
        self._describe()
        if not self._waits:
            self._told_at = 0.0
        elif not self._progress.console.is_terminal and now - self._told_at >= _AGAIN_S:
            self._told_at = now
            self._progress.console.print(f"{self._counted}; {self._waits} (sosie retry list)", soft_wrap=True)

    def _describe(self) -> None:
        self._progress.update(self._task, description="; ".join(filter(None, (self._counted, self._waits))))


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[jobs.Progress]:
    """A bar while a run goes on; silent for programs."""
    if quiet:
        yield jobs.Silent()
        return
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=output.err, transient=True) as progress:
        yield BarProgress(progress)


def summary_table(summary: RunSummary) -> Table:
    """The end of a run, for people."""
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("run", summary.run_id)
    table.add_row("input lines", str(summary.lines))
    for name, count in summary.outcomes.items():
        if count:
            table.add_row(name, str(count), style="red" if name == "dead" else None)
        for code, refused in summary.reasons.get(name, {}).items() if count else ():
            table.add_row(f"  {escape(code)}", str(refused), style="dim")
    if summary.missing:
        table.add_row("without an outcome", str(summary.missing), style="red")
    table.add_row("seconds", f"{summary.seconds:.1f}")
    return table


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command("run", epilog=_SPEC)
    def run(
        spec: Spec,
        state: output.StateOption = None,
        explain_only: Annotated[bool, typer.Option("--explain", help="Print the whole plan and stop.")] = False,
        as_json: output.JsonOption = False,
    ) -> None:
        """Run a job here, to the end of its input; starts what it needs and stops it again.

        Exit code 0: each line has its outcome (rejected ones are results); 3: some are dead; 1: the job failed.
        """
        if explain_only:
            output.out.print(explain(jobs.checked(spec)), end="", markup=False, soft_wrap=True)
            return
        with progress_bar(quiet=as_json) as progress:
            summary = jobs.run_job(spec, state, progress=progress)
        print_summary(summary, as_json)
        raise typer.Exit(summary.exit_code)

    @app.command("submit", epilog="[bold]Example[/bold]: sosie submit job.yaml --cluster http://127.0.0.1:8081")
    def submit(
        spec: Spec,
        cluster: Annotated[str, typer.Option("--cluster", help="REST address of a Flink session cluster.")],
        wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end and print its summary.")] = False,
        state: output.StateOption = None,
        as_json: output.JsonOption = False,
    ) -> None:
        """Submit a job to a Flink session cluster; needs a running stack (`sosie up`).

        The cluster's machines need this same Python environment and the spec's paths. Without `--wait` it returns at
        once: Flink's own page at the cluster's address shows the job.
        """
        with progress_bar(quiet=as_json) as progress:
            submitted = jobs.submit_job(spec, cluster, state, progress=progress, wait=wait)
        if submitted.summary is not None:
            print_summary(submitted.summary, as_json)
            raise typer.Exit(submitted.summary.exit_code)
        if as_json:
            output.print_json(submitted)
        else:
            output.out.print(f"submitted job {submitted.job_id} to {cluster}", soft_wrap=True)


def print_summary(summary: RunSummary, as_json: bool) -> None:
    """The end of a run, for people or programs."""
    if as_json:
        output.print_json(summary)
        return
    output.out.print(summary_table(summary))
    output.out.print(f"results: {summary.results}", soft_wrap=True)
