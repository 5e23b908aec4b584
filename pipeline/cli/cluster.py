"""`sosie cluster`: a Flink session cluster on this machine, to submit jobs to."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy import flink
from pipeline.cli import output
from pipeline.jobs import state_folder

cluster = typer.Typer(help="A local Flink session cluster, started from the wheel.", no_args_is_help=True)


@cluster.command("up", epilog="[bold]Example[/bold]: sosie cluster up --slots 2 --state ./state")
def up(
    slots: Annotated[int, typer.Option("--slots", min=1, max=64, help="Task slots of its one TaskManager.")] = 2,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Start it, or name the one that runs already."""
    folder = state_folder(state) / "flink"
    running = flink.find_session_cluster(folder) or flink.start_session_cluster(folder, slots)
    if as_json:
        output.print_json({"rest_url": running.rest_url, "slots": running.slots})
    else:
        output.out.print(
            f"{running.rest_url}  ({running.slots} slots); submit: sosie submit JOB.yaml --cluster {running.rest_url}",
            soft_wrap=True,
        )


@cluster.command("down", epilog="[bold]Example[/bold]: sosie cluster down --state ./state")
def down(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Stop it; its jobs end without a savepoint."""
    stopped = flink.stop_session_cluster(state_folder(state) / "flink")
    if as_json:
        output.print_json({"stopped": stopped})
    else:
        output.out.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing ran")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(cluster, name="cluster")
