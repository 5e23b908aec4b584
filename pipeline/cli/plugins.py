"""`sosie plugin`: the plug-ins that a job may name, and those that running jobs take up by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model_plugins.registry.entries import PluginEntry
from pipeline import plugin_operations as operations
from pipeline.cli import output
from pipeline.jobs import state_folder

plugin = typer.Typer(help="Model plug-ins. Loading a plug-in runs its code.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `sosie plugin list` shows it.", show_default=False)]
ZooKeeperOption = Annotated[
    str,
    typer.Option("--zookeeper", help="HOST:PORT. Default: $SOSIE_ZOOKEEPER, then the stack of the state folder."),
]
_COLOURS = {"installed": "green", "accepted": "green", "disabled": "dim", "refused": "red", "unreadable": "red"}


@plugin.command("list", epilog="[bold]Example[/bold]: sosie plugin list --json")
def list_plugins(
    zookeeper: ZooKeeperOption = "", state: output.StateOption = None, as_json: output.JsonOption = False
) -> None:
    """Installed plug-ins, by the names that a job spec uses, and registered ones, as the workers of this system judge
    them: accepted, disabled, or refused and why."""
    found = operations.listing(state_folder(state), zookeeper)
    if as_json:
        output.print_json([each.as_json() for each in found])
        return
    table = Table("name", "version", "takes", "model", "feature", "state", "summary")
    for each in found:
        shown = f"[{_COLOURS[each.state]}]{each.state}[/]"
        reason = f": {escape(each.reason)}" if each.reason and each.state != "disabled" else ""
        m, entry = each.manifest, each.entry
        if m is not None:
            model = m.model.name if m.model else "-"
            table.add_row(m.name, str(m.version), m.media, model, m.schema, shown + reason, m.summary)
        elif entry is not None:
            table.add_row(entry.name, str(entry.version), entry.media, "", "", shown + reason, escape(entry.summary))
        else:
            table.add_row(escape(each.name), "", "", "", "", shown + reason, "")
    output.out.print(table)


@plugin.command("register", epilog="[bold]Example[/bold]: sosie plugin register ./mean-colour --state ./state")
def register_plugin(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Its project folder, or a built wheel.", show_default=False)
    ],
    check: Annotated[bool, typer.Option("--check/--no-check", help="Run the conformance check first.")] = True,
    zookeeper: ZooKeeperOption = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Build, check, sign and register a plug-in: jobs that run take it up within seconds.

    [bold]This runs its code in the workers[/bold], as their user: register only what you have read, or whose author
    you trust. Workers load only wheels that a key on their own allow list has signed (STATE/plugins.allow, or
    $SOSIE_PLUGIN_ALLOW), run them in a process of their own, and install nothing. That guards against faults; it is no
    sandbox for hostile code.

    The first registration here makes a signing key, STATE/keys/plugins.key, and puts it on the state's own allow list.
    """
    outcome = operations.register_plugins(path, state_folder(state), zookeeper, checked=check)
    if as_json:
        output.print_json(outcome)
        return
    for each in outcome.plugins:
        output.out.print(f"{each.done}: {each.entry.key}  ({each.entry.target}, wheel {each.entry.sha256[:12]}…)")
    if outcome.listed_now:
        output.out.print(f"a signing key was made, and is now on {outcome.allow_list}", soft_wrap=True)
    output.out.print("[yellow]its code now runs in every worker that allows it[/yellow]")
    if not outcome.allowed:
        output.out.print(f"workers of this system refuse it: {escape(outcome.reason)}", soft_wrap=True)
    if not outcome.allowed or not outcome.listed_now:
        output.out.print(
            f"workers elsewhere need this line on their allow list: {outcome.public_key}", soft_wrap=True, style="dim"
        )


@plugin.command("remove", epilog="[bold]Example[/bold]: sosie plugin remove mean-colour")
def remove(
    name: Name, zookeeper: ZooKeeperOption = "", state: output.StateOption = None, as_json: output.JsonOption = False
) -> None:
    """Take a plug-in out of the registry: jobs that run drop it. Features that it computed stay, and so does its
    wheel."""
    with operations.administration(state_folder(state), zookeeper) as admin:
        entry = admin.remove(name)
    if as_json:
        output.print_json({"removed": name, "entry": entry})
    else:
        output.out.print(f"removed {escape(entry.key if entry else name)}")


@plugin.command("enable", epilog="[bold]Example[/bold]: sosie plugin enable mean-colour")
def enable(
    name: Name, zookeeper: ZooKeeperOption = "", state: output.StateOption = None, as_json: output.JsonOption = False
) -> None:
    """Let running jobs take a registered plug-in up again."""
    _switch(name, True, state, zookeeper, as_json)


@plugin.command("disable", epilog="[bold]Example[/bold]: sosie plugin disable mean-colour")
def disable(
    name: Name, zookeeper: ZooKeeperOption = "", state: output.StateOption = None, as_json: output.JsonOption = False
) -> None:
    """Have running jobs drop a registered plug-in, and keep its record."""
    _switch(name, False, state, zookeeper, as_json)


def _switch(name: str, enabled: bool, state: Path | None, zookeeper: str, as_json: bool) -> None:
    with operations.administration(state_folder(state), zookeeper) as admin:
        entry: PluginEntry = admin.set_enabled(name, enabled)
    if as_json:
        output.print_json(entry)
    else:
        output.out.print(f"{'enabled' if enabled else 'disabled'} {entry.key}")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(plugin, name="plugin")
