"""`sosie content`: outcomes, content IDs, their members, and search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from materials.errors import Permanent, UsageError
from materials.records import Candidate
from pipeline import lookups
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.whereabouts import NEVER_SEEN, whereabouts

content = typer.Typer(help="Look up outcomes and content IDs.", no_args_is_help=True)
_LIKELY = 0.5
"""A score is a probability: below, a pair more likely shares nothing, and its relation is a guess."""
PolicyOption = Annotated[str, typer.Option("--policy", help="The policy whose content IDs are meant.")]


@content.command("get", epilog="[bold]Example[/bold]: sosie content get P1 P2 --json")
def get(
    material_ids: Annotated[list[str], typer.Argument(metavar="MATERIAL_ID…", help="As the producer chose them.")],
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """The outcome of materials: content ID, match, reason."""
    redis_url = _addresses(state).redis
    found = lookups.outcomes(redis_url, material_ids)
    without = [name for name, by_policy in found.items() if not by_policy]
    told = whereabouts(redis_url, without) if without and not as_json else {}
    if as_json:
        output.print_json(found)
    else:
        table = Table("material", "policy", "outcome", output.whole("content ID"), "matched", "score")
        reasons = []  # below the table: a column of sentences would leave nothing for the rest
        for material_id, by_policy in found.items():
            for policy, outcome in by_policy.items():
                matched: dict[str, Any] = outcome["matched"] or {}
                score = f"{matched['score']:.3f}" if matched else ""
                other = escape(matched.get("material_id", ""))
                table.add_row(escape(material_id), policy, outcome["outcome"], outcome["content_id"], other, score)
                if outcome["reason"]:
                    reasons.append(f"{material_id}: {outcome['reason']}")
            if not by_policy:
                unseen = "[red]unknown[/red]" if told[material_id] == NEVER_SEEN else "[yellow]none[/yellow]"
                table.add_row(escape(material_id), "", unseen, "", "", "")
                reasons.append(f"{material_id}: {told[material_id]}")
        output.out.print(table)
        for line in reasons:
            output.out.print(escape(line), soft_wrap=True)
    if not all(found.values()):
        raise typer.Exit(output.EXIT_FAILED)


@content.command("lookup", epilog="[bold]Example[/bold]: sosie content lookup feed-abcdefghijklmnop")
def lookup(
    content_id: Annotated[str, typer.Argument(metavar="CONTENT_ID")],
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """The canonical content ID, after redirects."""
    canonical = _canonical(_addresses(state), content_id)
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
    canonical = _canonical(addresses, content_id)
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
    if text is not None and not text.strip():
        raise UsageError("--text is empty", "sosie content search --text '…'")
    addresses = _addresses(state)
    found = lookups.search_text(addresses, text, policy) if text is not None else []
    if medium is not None:
        found = lookups.search_file(addresses, medium, policy)
    if as_json:
        output.print_json(found)
    else:
        output.out.print(_candidates(found))


def _canonical(where: Any, content_id: str) -> str:
    """As `lookups.canonical`; a material's id in its place is told with the command that was meant."""
    try:
        return lookups.canonical(where.index, content_id)
    except Permanent:
        try:
            is_material = any(lookups.outcomes(where.redis, [content_id]).values())
        except UsageError:  # Redis is away: then the first error is the better one
            is_material = False
        if not is_material:
            raise
    raise UsageError(f"{content_id} is a material and no content ID", f"its content ID: sosie content get {content_id}")


def _candidates(found: list[Candidate]) -> Table:
    table = Table("material", "score", "relation", "recall", output.whole("content ID"), "ranker")
    for c in found:
        relation = c.relation if c.score >= _LIKELY else "[dim]-[/dim]"
        table.add_row(c.material_id, f"{c.score:.3f}", relation, f"{c.recall_score:.3f}", c.content_id, c.ranker)
    if not found:
        table.add_row("[dim]nothing near[/dim]", "", "", "", "", "")
    return table


def _addresses(state: Path | None) -> Any:
    return lookups.addresses(state_folder(state))


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(content, name="content")
