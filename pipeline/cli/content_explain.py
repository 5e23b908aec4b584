"""`sosie content explain`: why two materials share a content ID, or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipeline import lookups
from pipeline.cli import output
from pipeline.explain import explained as explaining
from pipeline.jobs import state_folder


def explain(
    one: Annotated[str, typer.Argument(metavar="MATERIAL_ID", help="A medium of a post is P1/0, P1/1, …")],
    other: Annotated[str, typer.Argument(metavar="MATERIAL_ID")],
    policy: Annotated[str, typer.Option("--policy", help="The policy whose content IDs are meant.")] = "feed",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also a page (.html) or a picture (.png) of the two.")
    ] = None,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Say in sentences why two materials share a content ID, or do not, with the evidence; and draw it."""
    if out is not None:
        explaining.check_target(out)
    folder = state_folder(state)
    found = explaining.explained(folder, lookups.addresses(folder), one, other, policy)
    if out is not None:
        explaining.write(found, out)
    if as_json:
        told = {
            "sentences": found.sentences,
            "figures": found.figures,
            "missing": found.missing,
            "out": None if out is None else str(out),
        }
        output.print_json(told | {"explanation": found.explanation})
        _end(found)
        return
    for line in found.sentences:
        output.out.print(escape(line), soft_wrap=True)
    for line in found.missing:
        output.out.print(escape(line), style="dim", soft_wrap=True)
    if found.figures:
        output.out.print("\nWhat was measured:", style="dim")
    for line in found.figures:
        output.out.print(f"  {escape(line)}", style="dim", soft_wrap=True)
    if out is not None:
        output.out.print(f"drawn: {escape(str(out))}", style="dim", soft_wrap=True)
    _end(found)


def _end(found: explaining.Explained) -> None:
    """As `content get` ends: a material that is not known is no answer."""
    if "unknown" in (found.explanation.one.state, found.explanation.other.state):
        raise typer.Exit(output.EXIT_FAILED)


def add_to(group: typer.Typer) -> None:
    """Add the command to `sosie content`."""
    group.command("explain", epilog="[bold]Example[/bold]: sosie content explain P1 P7 --out why.html")(explain)
