"""`sosie cluster`: a Flink session cluster on this machine, to submit jobs to."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from deploy import flink, stack
from deploy.addresses import GivenAddresses
from materials.errors import UsageError
from pipeline.cli import output
from pipeline.job_control import control
from pipeline.jobs import state_folder

cluster = typer.Typer(help="A local Flink session cluster, started from the wheel.", no_args_is_help=True)


@cluster.command("up", epilog="[bold]Example[/bold]: sosie cluster up --slots 2 --taskmanagers 2 --state ./state")
def up(
    slots: Annotated[int, typer.Option("--slots", min=1, max=64, help="Task slots of each TaskManager.")] = 2,
    taskmanagers: Annotated[
        int, typer.Option("--taskmanagers", min=1, max=16, help="A spare one takes over at once when another dies.")
    ] = 1,
    ha: Annotated[
        bool | None,
        typer.Option(
            "--ha/--no-ha", help="Jobs outlive the JobManager. Default: where the stack's ZooKeeper is known."
        ),
    ] = None,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Start it, or name the one that runs already. What dies is started again.

    With high availability a killed JobManager, and a cluster that was taken down, go on with their jobs.
    """
    system = state_folder(state)
    folder = system / "flink"
    running = flink.find_session_cluster(folder)
    if running is None:
        running = flink.start_session_cluster(
            folder, slots, taskmanagers=taskmanagers, zookeeper=_zookeeper(system, ha), watched=True
        )
        control.end_superseded(system, running.rest_url)
    elif running.watched:
        flink.ensure_watch(running)
    if as_json:
        told = {"rest_url": running.rest_url, "slots": running.slots, "taskmanagers": running.taskmanagers}
        output.print_json(told)
    else:
        output.out.print(
            f"{running.rest_url}  ({running.taskmanagers} × {running.slots} slots); "
            f"submit: {submit_hint(running.rest_url, system)}",
            soft_wrap=True,
            markup=False,
        )


@cluster.command("down", epilog="[bold]Example[/bold]: sosie cluster down --state ./state")
def down(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Stop it. With high availability its jobs go on at the next `sosie cluster up`; else see `sosie jobs resume`."""
    stopped = flink.stop_session_cluster(state_folder(state) / "flink")
    if as_json:
        output.print_json({"stopped": stopped})
    else:
        output.out.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing ran")


def submit_hint(rest_url: str, system: Path) -> str:
    """The next command, to be copied: it names the state folder, whatever the spec or the environment says."""
    return f"sosie submit JOB.yaml --cluster {rest_url} --state {shlex.quote(str(system))}"


def _zookeeper(system: Path, ha: bool | None) -> str:
    """The ZooKeeper for high availability; empty: none."""
    if ha is False:
        return ""
    parts = stack.find(system)
    address = parts.zookeeper if parts else GivenAddresses.read(os.environ).zookeeper
    if ha and not address:
        raise UsageError("--ha needs a ZooKeeper", f"start the stack first: sosie up --state {system}")
    return address


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(cluster, name="cluster")
