"""`sosie content`: outcomes, content IDs, their members, and search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from materials.errors import UsageError
from materials.records import Candidate
from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder

content = typer.Typer(help="Look up outcomes and content IDs.", no_args_is_help=True)
PolicyOption = Annotated[str, typer.Option("--policy", help="The policy whose content IDs are meant.")]


@content.command("get", epilog="[bold]Example[/bold]: sosie content get P1 P2 --json")
def get(
    material_ids: Annotated[list[str], typer.Argument(metavar="MATERIAL_ID…", help="As the producer chose them.")],
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """The outcome of materials: content ID, match, reason."""
    found = lookups.outcomes(_addresses(state).redis, material_ids)
    if as_json:
        output.print_json(found)
    else:
        table = Table("material", "policy", "outcome", "content ID", "matched", "score", "reason")
        for material_id, by_policy in found.items():
            for policy, outcome in by_policy.items():
                matched: dict[str, Any] = outcome["matched"] or {}
                score = f"{matched['score']:.3f}" if matched else ""
                content_id, reason = outcome["content_id"] or "", outcome["reason"] or ""
                other = matched.get("material_id", "")
                table.add_row(material_id, policy, outcome["outcome"], content_id, other, score, reason)
            if not by_policy:
                table.add_row(material_id, "", "[red]unknown[/red]", "", "", "", "no such material was seen")
        output.out.print(table)
    if not all(found.values()):
        raise typer.Exit(output.EXIT_FAILED)


@content.command("lookup", epilog="[bold]Example[/bold]: sosie content lookup feed-abcdefghijklmnop")
def lookup(
    content_id: Annotated[str, typer.Argument(metavar="CONTENT_ID")],
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """The canonical content ID, after redirects."""
    canonical = lookups.canonical(_addresses(state).index, content_id)
    if as_json:
        output.print_json({"content_id": content_id, "canonical": canonical})
    else:
        output.out.print(canonical)


@content.command("members", epilog="[bold]Example[/bold]: sosie content members feed-abcdefghijklmnop")
def members(
    content_id: Annotated[str, typer.Argument(metavar="CONTENT_ID")],
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """All materials with a content ID, its founder first."""
    addresses = _addresses(state)
    canonical = lookups.canonical(addresses.index, content_id)
    found = lookups.members(addresses.index, canonical)
    if as_json:
        output.print_json({"content_id": canonical, "members": found})
    else:
        for material_id in found:
            output.out.print(material_id, markup=False)


@content.command(
    "search", epilog='[bold]Example[/bold]: sosie content search photo.jpg    sosie content search --text "…"'
)
def search(
    medium: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="An image or a video.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="A text instead of a file.")] = None,
    policy: PolicyOption = "feed",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Candidates with scores for an image, a video or a text; nothing is stored."""
    if (medium is None) == (text is None):
        raise UsageError("search takes one file or one --text", "sosie content search FILE, or --text '…'")
    addresses = _addresses(state)
    found = lookups.search_text(addresses, text, policy) if text is not None else []
    if medium is not None:
        found = lookups.search_file(addresses, medium, policy)
    if as_json:
        output.print_json(found)
    else:
        output.out.print(_candidates(found))


def _candidates(found: list[Candidate]) -> Table:
    table = Table("material", "score", "relation", "recall", "content ID", "ranker")
    for c in found:
        table.add_row(c.material_id, f"{c.score:.3f}", c.relation, f"{c.recall_score:.3f}", c.content_id, c.ranker)
    if not found:
        table.add_row("[dim]nothing near[/dim]", "", "", "", "", "")
    return table


def _addresses(state: Path | None) -> Any:
    return lookups.addresses(state_folder(state))


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(content, name="content")
