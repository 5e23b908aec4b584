"""`sosie plugin`: the plug-ins that a job may name."""

from __future__ import annotations

import typer
from rich.table import Table

from model_plugins import registry
from pipeline.cli import output

plugin = typer.Typer(help="Model plug-ins. Loading a plug-in runs its code.", no_args_is_help=True)


@plugin.command("list", epilog="[bold]Example[/bold]: sosie plugin list --json")
def list_plugins(as_json: output.JsonOption = False) -> None:
    """Installed plug-ins, by the names that a job spec uses."""
    manifests = registry.available()
    if as_json:
        output.print_json(manifests)
        return
    table = Table("name", "version", "takes", "model", "feature", "summary")
    for m in manifests:
        table.add_row(m.name, str(m.version), m.media, m.model.name if m.model else "-", m.schema, m.summary)
    output.out.print(table)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(plugin, name="plugin")
