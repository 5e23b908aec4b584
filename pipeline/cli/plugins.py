"""`sosie plugin`: the plug-ins that a job may name, and those that running jobs take up by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model_plugins.metrics.rows import PluginRow
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
    them: accepted, disabled, or refused and why. Beside each, what all workers did with it in the last five minutes."""
    found = operations.listing(state_folder(state), zookeeper)
    if as_json:
        output.print_json([each.as_json() for each in found])
        return
    table = Table("name", "v", "takes", "state", expand=True)
    table.columns[0].no_wrap = True
    table.add_column("last 5 min", max_width=max(14, output.out.width // 5))
    # the summary gets what is left, and may be cut: `--json` has all of it
    table.add_column("what it is", ratio=1, min_width=14, no_wrap=True)
    for each in found:
        about = each.manifest or each.entry
        shown = f"[{_COLOURS[each.state]}]{each.state}[/]"
        reason = f": {escape(each.reason)}" if each.reason and each.state != "disabled" else ""
        version, media, summary = (str(about.version), about.media, escape(about.summary)) if about else ("", "", "")
        table.add_row(escape(each.name), version, media, shown + reason, _lately(each.lately), summary)
    output.out.print(table)


def _lately(rows: Sequence[PluginRow]) -> str:
    """`1,204 media, 99.9 % ok, p95 21 ms`; a version of its own where there are several."""
    told = []
    for row in rows:
        of_version = f"v{row.version}: " if len(rows) > 1 else ""
        ok, p95 = row.success_rate, row.latency(0.95)
        figures = "" if ok is None or p95 is None else f", {ok:.1%} ok, p95 {_ms(p95)}"
        cached = f", {row.cache_hits:,} from cache" if row.cache_hits else ""
        told.append(f"{of_version}{row.runs:,} media{figures}{cached}")
    return "; ".join(told) or "-"


def _ms(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


@plugin.command("register", epilog="[bold]Example[/bold]: sosie plugin register ./mean-colour --state ./state")
def register_plugin(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Its project folder, or a built wheel.", show_default=False)
    ],
    check: Annotated[bool, typer.Option("--check/--no-check", help="Run the conformance check first.")] = True,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="The workers meant have the key on allow lists of their own.")
    ] = False,
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
    outcome = operations.register_plugins(path, state_folder(state), zookeeper, checked=check, elsewhere=elsewhere)
    if as_json:
        output.print_json(outcome)
        return
    for each in outcome.plugins:
        output.out.print(f"{each.done}: {each.entry.key}  ({each.entry.target}, wheel {each.entry.sha256[:12]}…)")
    if outcome.listed_now:
        output.out.print(f"a signing key was made, and is now on {outcome.allow_list}", soft_wrap=True)
    if outcome.allowed:
        output.out.print("[yellow]its code now runs in every worker that allows it[/yellow]")
    else:
        output.out.print(f"workers of this system refuse it: {escape(outcome.reason)}", soft_wrap=True)
        output.out.print(f"put this line into {escape(outcome.allow_list)}: {outcome.public_key}", soft_wrap=True)
    if outcome.allowed and not outcome.listed_now:
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
