"""`sosie up`, `down` and `status`: the local stack."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from deploy import stack
from deploy.addresses import FixedPorts, GivenAddresses
from deploy.model_server.catalogue import EXTRAS, parse_extras
from deploy.record import PartState, PartStatus
from materials.redaction import without_secrets
from pipeline.cli import output
from pipeline.jobs import state_folder

Port = Annotated[int, typer.Option(help="Its port here; a free one by default.", show_default=False, min=0, max=65535)]
COLOURS: dict[PartState, str] = {
    "running": "green",
    "given": "cyan",
    "starting": "yellow",
    "dead": "bold red",
    "stopped": "dim",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up", epilog="[bold]Example[/bold]: sosie up --state ./state --redis redis://10.0.0.7:6379/0")(up)
    app.command("down", epilog="[bold]Example[/bold]: sosie down --state ./state")(down)
    app.command("status", epilog="[bold]Example[/bold]: sosie status --state ./state --json")(status)


def up(
    state: output.StateOption = None,
    zookeeper: Annotated[
        str, typer.Option(help="Use this ZooKeeper, HOST:PORT. Or $SOSIE_ZOOKEEPER.", show_default=False)
    ] = "",
    redis: Annotated[
        str, typer.Option(help="Use this Redis, redis://HOST:PORT/0. Or $SOSIE_REDIS.", show_default=False)
    ] = "",
    index: Annotated[
        str, typer.Option(help="Use this index service, HOST:PORT. Or $SOSIE_INDEX.", show_default=False)
    ] = "",
    triton: Annotated[
        str, typer.Option(help="Use this model server, HOST:PORT of its gRPC. Or $SOSIE_TRITON.", show_default=False)
    ] = "",
    zookeeper_port: Port = 0,
    redis_port: Port = 0,
    index_port: Port = 0,
    triton_port: Port = 0,
    gateway_port: Port = 0,
    kafka: Annotated[bool, typer.Option("--kafka", help="Run a Kafka broker (KRaft), too.")] = False,
    kafka_at: Annotated[
        str, typer.Option(help="Use this Kafka, HOST:PORT[,HOST:PORT…]. Or $SOSIE_KAFKA.", show_default=False)
    ] = "",
    kafka_port: Port = 0,
    timeout: Annotated[float, typer.Option(help="Seconds until every part must be healthy.")] = 90,
    models: Annotated[
        str,
        typer.Option(
            help=f"Serve heavy models, too: any of {', '.join(EXTRAS)}, or all; installed once. Or $SOSIE_MODELS.",
            show_default=False,
        ),
    ] = "",
    as_json: output.JsonOption = False,
) -> None:
    """Start the local stack (ZooKeeper, Redis, model server, index, HTTP gateway) and keep it running.

    Harmless when it runs. A part whose address is given is used and not started. Ports are free ones, kept over
    restarts.
    """
    folder = state_folder(state)
    extras = parse_extras(models)
    given = GivenAddresses.read(
        os.environ, zookeeper=zookeeper, redis=redis, index=index, triton=triton, kafka=kafka_at
    )
    fixed = FixedPorts(
        zookeeper=zookeeper_port,
        redis=redis_port,
        index=index_port,
        triton=triton_port,
        gateway=gateway_port,
        kafka=kafka_port,
    )
    addresses = stack.up(folder, given, timeout, None if as_json else _say, fixed, extras, kafka)
    if as_json:
        output.print_json(msgspec.structs.replace(addresses, redis=without_secrets(addresses.redis)))
    else:
        output.out.print(status_table(stack.status(folder), folder))


def down(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Stop the local stack in order. Its data stay."""
    folder = state_folder(state)
    stopped = stack.down(folder)
    if as_json:
        output.print_json({"stopped": stopped})
    elif stopped:
        output.out.print(f"stopped {', '.join(stopped)}", soft_wrap=True)
    else:
        output.out.print(f"nothing ran on {escape(str(folder))}", soft_wrap=True)


def status(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Show every part of the local stack; exit code 1 when one is dead.

    Each part is checked every 5 s. One that lives and does not answer as it should is shown with how long its check has
    failed; a server is started again after half a minute of that.
    """
    folder = state_folder(state)
    parts = stack.status(folder)
    if as_json:
        output.print_json({"state": str(folder), "parts": parts})
    elif not parts:
        output.out.print(f"no stack has run on {escape(str(folder))}; start one: sosie up", soft_wrap=True)
    else:
        output.out.print(status_table(parts, folder))
    dead = [part for part in parts if part.state == "dead"]
    for part in dead:
        log = f"; see {part.log}" if part.log else ""
        output.err.print(f"[red]sosie:[/red] {escape(f'{part.name} is dead: {part.detail}{log}')}", soft_wrap=True)
    if dead:
        raise typer.Exit(output.EXIT_FAILED)


def status_table(parts: list[PartStatus], folder: Path) -> Table:
    """The stack, for people."""
    table = Table(title=f"stack on {escape(str(folder))}", title_justify="left")
    for heading in ("part", "state", "address"):
        table.add_column(heading, overflow="fold")
    table.add_column("pid", justify="right")
    table.add_column("restarts", justify="right")
    for part in parts:
        colour = COLOURS[part.state]
        pid = str(part.pid) if part.pid else ""
        shown = f"[{colour}]{part.state}[/{colour}]"
        if part.silent_s:  # its process lives; the supervisor starts it again when its patience is at an end
            shown = f"[yellow]{part.state}, its check fails for {part.silent_s:.0f} s[/yellow]"
        table.add_row(part.name, shown, escape(part.address), pid, str(part.restarts))
    return table


def _say(line: str) -> None:
    output.err.print(escape(line), style="dim", soft_wrap=True)
