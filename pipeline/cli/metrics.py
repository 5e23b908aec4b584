"""`sosie metrics`: what the workers counted in the last minutes, and where Prometheus finds them."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from deploy.addresses import GivenAddresses
from model_plugins.metrics.reading import Lately, ask
from model_plugins.metrics.workers import targets, workers
from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder


def metrics_command(
    zookeeper: Annotated[
        str, typer.Option("--zookeeper", help="HOST:PORT[,HOST:PORT…]; default: the running stack's.")
    ] = "",
    job: Annotated[str, typer.Option("--job", help="Only the operators of this job.")] = "",
    as_targets: Annotated[
        bool, typer.Option("--targets", help="Print the workers as Prometheus file_sd (or http_sd) JSON instead.")
    ] = False,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Calls, success and latency of the last five minutes, by model, version and endpoint, and by plug-in.

    Asked of the workers that run now: what workers counted that have ended since is gone with them. Let Prometheus
    collect the --targets to keep it.
    """
    hosts = GivenAddresses.read(os.environ, zookeeper=zookeeper).zookeeper
    found = workers(hosts or lookups.addresses(state_folder(state)).zookeeper)
    found = [each for each in found if job in ("", each.job)]
    if as_targets:
        output.print_json(targets(found))
        return
    lately = ask(found)
    if as_json:
        output.print_json(lately)
    elif lately.workers:
        _show(lately)
    else:
        of_job = f"of a job {job!r} " if job else ""
        told = f"no worker {of_job}runs now, and what ended ones counted is gone (Prometheus keeps it: --targets)"
        output.out.print(f"{told}; `sosie run` and `sosie submit` start some", markup=False, soft_wrap=True)


def _show(lately: Lately) -> None:
    minutes = lately.recent.window_s / 60
    processes = len({each.target for each in lately.workers})
    window = f"; the last {minutes:g} minutes" if minutes else ""
    output.out.print(f"operators: {len(lately.workers)}, workers: {processes} that run now{window}")
    calls = _table("model, endpoint, plug-ins", "calls", "ok", "p50", "p95", "batch", "busy", "trouble")
    for row in lately.recent.calls:
        version = f"@{row.version}" if row.version else ""
        calls.add_row(
            "\n  ".join(each for each in (row.model + version, row.endpoint, *row.plugin.split(",")) if each),
            str(row.calls),
            _percent(row.success_rate),
            _ms(row.latency(0.5)),
            _ms(row.latency(0.95)),
            "-" if row.mean_batch is None else f"{row.mean_batch:.1f}",
            str(row.in_flight),
            _trouble({**row.failures, "retries": row.retries, "hedges": row.hedges, "ejections": row.ejections}),
        )
    if lately.recent.calls:
        output.out.print(calls)
    plugins = _table("plug-in", "media", "ok", "p50", "p95", "cached", "results")
    for run in lately.recent.plugins:
        looked = run.cache_hits + run.cache_misses
        plugins.add_row(
            f"{run.plugin}@{run.version}",
            str(run.runs),
            _percent(run.success_rate),
            _ms(run.latency(0.5)),
            _ms(run.latency(0.95)),
            _percent(run.cache_hits / looked if looked else None),
            _trouble({name: count for name, count in run.results.items() if name != "ok"}),
        )
    if lately.recent.plugins:
        output.out.print(plugins)
    for worker in lately.silent:
        output.err.print(f"[yellow]{worker.kind} of {worker.job} at {worker.target} does not answer[/yellow]")


def _table(*headings: str) -> Table:
    """Without lines, so that names and figures fit into 80 columns."""
    table = Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.columns[0].overflow = table.columns[-1].overflow = "fold"
    for column in table.columns[1:-1]:
        column.no_wrap = True
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _trouble(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("metrics", epilog="[bold]Example[/bold]: sosie metrics --targets > targets.json")(metrics_command)
