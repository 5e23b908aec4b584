"""`sosie model`: the model library, from a file to every server and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from materials.errors import UsageError
from model_plugins.library.promotion import Refused
from model_plugins.library.records import PRODUCTION, AliasChange, Verification
from pipeline import lookups
from pipeline import model_operations as operations
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.model_golden import demo_photos, folder_photos, read_golden, write_golden
from pipeline.person import person

model = typer.Typer(
    help="The model library: versions with cards, verified on a golden set, deployed, promoted, rolled back. "
    "It lies in STATE/library, or where $SOSIE_LIBRARY says (a folder or s3://BUCKET/PREFIX).",
    no_args_is_help=True,
)
Reference = Annotated[str, typer.Argument(metavar="NAME@VERSION", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model, e.g. image-embedding.", show_default=False)]
AliasOption = Annotated[str, typer.Option("--alias", help="What workers ask for.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Kept in the alias's history.")]
WarmOption = Annotated[
    bool, typer.Option("--warm/--no-warm", help="Fill an embedding's space from the kept media; needed to find them.")
]
ServerOption = Annotated[list[str] | None, typer.Option("--server", help="HOST:PORT of gRPC; may be repeated.")]


@model.command("add", epilog="[bold]Example[/bold]: sosie model add image-embedding out/model.onnx --licence MIT")
def add(
    name: Name,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An .onnx file, or a folder as Triton lays it out.")],
    version: Annotated[int | None, typer.Option("--version", help="Default: the next one.", min=1)] = None,
    training: Annotated[str, typer.Option("--training", help="Where the weights come from: a run, a commit.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="SPDX name of the weights' licence.")] = "",
    backend: Annotated[str, typer.Option("--backend", help="Of an .onnx file: python or onnxruntime.")] = "python",
    max_batch: Annotated[int, typer.Option("--max-batch", help="Rows of one call.", min=1, max=1024)] = 8,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Check a model and store it as a new version, which is never changed.

    A folder may bring code (model.py) that the model servers will run: add only what you trust.
    """
    card = operations.add_model(
        operations.library_of(state_folder(state)),
        name,
        path,
        version=version,
        backend=backend,
        max_batch=max_batch,
        training=training,
        licence=licence,
        by=person(),
        say=_say(as_json),
    )
    if as_json:
        output.print_json(card)
        return
    output.out.print(f"added {card.key}: {card.signature}, sha256 {card.digest[:16]}…", markup=False, soft_wrap=True)
    output.out.print(f"next: sosie model verify {card.key}", soft_wrap=True)


@model.command("golden", epilog="[bold]Example[/bold]: sosie model golden --out golden --photos my-photos")
def golden(
    out: Annotated[Path, typer.Option("--out", help="A new folder.", show_default=False)],
    photos: Annotated[Path | None, typer.Option("--photos", help="Default: the demo's photographs.")] = None,
    queries: Annotated[int, typer.Option("--queries", help="Attacked copies of each photo.", min=1, max=50)] = 6,
    as_json: output.JsonOption = False,
) -> None:
    """Make a golden set of photos and attacked copies, to verify image embeddings on."""
    made = write_golden(out, folder_photos(photos) if photos else demo_photos(), queries)
    if as_json:
        output.print_json({"folder": out, "references": len(made.references), "queries": len(made.queries)})
    else:
        output.out.print(f"{len(made.references)} references and {len(made.queries)} queries in {out}", soft_wrap=True)


@model.command("verify", epilog="[bold]Example[/bold]: sosie model verify image-embedding@2 --golden golden")
def verify(
    reference: Reference,
    golden_set: Annotated[
        Path | None, typer.Option("--golden", help="A folder of `sosie model golden`. Default: one of the demo's.")
    ] = None,
    server: Annotated[str, typer.Option("--server", help="HOST:PORT of gRPC. Default: one that announces it.")] = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Run a golden set through a version and through the one in production, on a real server, and compare.

    Exit code 1 when it is worse. Neither is shown to callers.
    """
    target = _target(state)
    card = target.library.card(*operations.parse_reference(reference))
    folder = golden_set or _default_golden(target.state, _say(as_json))
    with _counting(as_json, "preparing the golden set") as count:
        prepared = read_golden(folder, card.name, count)
    with _counting(as_json, f"running {card.key} and production") as count:
        found = operations.verify_model(target, card, prepared, server, count)
    if as_json:
        output.print_json(_told(found))
    else:
        _print_figures(found)
        step = f"next: sosie model deploy {card.key}" if found.passed else f"{card.key} is worse than allowed"
        output.out.print(step, soft_wrap=True)
    if not found.passed:
        raise typer.Exit(output.EXIT_FAILED)


@model.command("deploy", epilog="[bold]Example[/bold]: sosie model deploy image-embedding@2")
def deploy(
    reference: Reference,
    server: ServerOption = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds until all announce it.")] = 60.0,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Load a version on every server that announces the model, beside the others, and wait until all announce it.

    Exit code 1 when a server failed; the others have it. No alias moves.
    """
    target = _target(state)
    card = target.library.card(*operations.parse_reference(reference))
    with _spinner(as_json, f"loading {card.key}"):
        results = operations.deploy_model(target, card, server or (), timeout)
    failed = [each for each in results if each.error]
    if as_json:
        output.print_json({"name": card.name, "version": card.version, "servers": results})
    else:
        table = Table("server", "versions", "how", "")
        for each in results:
            shown = ", ".join(map(str, each.versions))
            table.add_row(each.address, shown, each.how, f"[red]{each.error}[/red]" if each.error else "ready")
        output.out.print(table)
        if not failed:
            output.out.print(f"next: sosie model promote {card.key}", soft_wrap=True)
    if failed:
        raise typer.Exit(output.EXIT_FAILED)


@model.command("promote", epilog="[bold]Example[/bold]: sosie model promote image-embedding@2")
def promote(
    reference: Reference,
    alias: AliasOption = PRODUCTION,
    warm: WarmOption = True,
    force: Annotated[bool, typer.Option("--force", help="Overrule the verification; needs --reason.")] = False,
    reason: ReasonOption = "",
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Let the alias name this version; running workers follow at once.

    An embedding's space is filled from the kept media first, so that content IDs survive.

    Exit code 1, and the figures, when it was not verified, is worse than production, or a server lacks it.
    """
    if force and not reason:
        raise UsageError("--force needs a reason, which is kept", "add --reason 'why this is right'")
    target = _target(state)
    card = target.library.card(*operations.parse_reference(reference))
    try:
        change = operations.promote_model(
            target, card, alias=alias, force=force, warm=warm, by=person(), reason=reason, say=_say(as_json)
        )
    except Refused as refused:
        _print_refusal(card.key, refused, as_json)
        raise typer.Exit(output.EXIT_FAILED) from None
    if change is None and not as_json:
        output.out.print(f"{card.name}@{alias} is {card.version} already; workers were told again", soft_wrap=True)
        return
    _print_change(change or {"name": card.name, "alias": alias, "version": card.version, "changed": False}, as_json)


@model.command("rollback", epilog="[bold]Example[/bold]: sosie model rollback image-embedding")
def rollback(
    name: Name,
    alias: AliasOption = PRODUCTION,
    reason: ReasonOption = "",
    warm: WarmOption = True,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to load it where it is gone.")] = 60.0,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Let the alias name the version that it named before; once more goes one further back."""
    change = operations.rollback_model(
        _target(state),
        name,
        alias=alias,
        warm=warm,
        by=person(),
        reason=reason,
        timeout=timeout,
        say=_say(as_json),
    )
    _print_change(change, as_json)


@model.command("list", epilog="[bold]Example[/bold]: sosie model list --json")
def list_models(state: output.StateOption = None, as_json: output.JsonOption = False) -> None:
    """Versions, their aliases, verification, and where they are served."""
    folder = state_folder(state)
    try:
        target: operations.Target | None = operations.Target.of(folder, lookups.addresses(folder))
    except UsageError:  # nothing runs there: the library can be read all the same
        target = None
    rows = operations.listing(operations.library_of(folder), target)
    if as_json:
        output.print_json(rows)
        return
    table = Table("model", "aliases", "verified", "served by", "training")
    table.columns[0].no_wrap = True
    table.columns[3].overflow = "fold"  # half an address is none
    for row in rows:
        card, found = row["card"], row["verification"]
        verified = "-" if found is None else "[green]passed[/green]" if found.passed else "[red]worse[/red]"
        if found is not None and found.baseline:
            verified += f" against {found.baseline}"
        names = ", ".join(row["aliases"])
        if target is not None and row["aliases"] != row["live"]:
            names += f" [yellow](workers: {', '.join(row['live']) or 'none'})[/yellow]"
        served = "nothing runs" if row["servers"] is None else ", ".join(row["servers"]) or "-"
        table.add_row(card.key, names.strip(), verified, served, card.training)
    output.out.print(table if rows else "the library is empty; next: sosie model add NAME MODEL.onnx")


def _target(state: Path | None) -> operations.Target:
    folder = state_folder(state)
    return operations.Target.of(folder, lookups.addresses(folder))


def _default_golden(state: Path, say: Callable[[str], None]) -> Path:
    folder = state / "golden" / "demo-photos"
    if not (folder / "golden.json").exists():
        say("making a golden set of the demo's photographs (once)")
        write_golden(folder, demo_photos())
    return folder


def _say(quiet: bool) -> Callable[[str], None]:
    return (lambda _line: None) if quiet else (lambda line: output.err.print(line, soft_wrap=True))


@contextmanager
def _counting(quiet: bool, text: str) -> Iterator[Callable[[int], None]]:
    if quiet:
        yield lambda _rows: None
        return
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=output.err, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda rows: progress.advance(task, rows)


@contextmanager
def _spinner(quiet: bool, text: str) -> Iterator[None]:
    if quiet:
        yield
        return
    with output.err.status(text):
        yield


def _told(found: Verification) -> dict[str, Any]:
    figures = [{**_fields(figure), "passed": figure.passed} for figure in found.figures]
    return {**_fields(found), "figures": figures, "passed": found.passed}


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _print_figures(found: Verification) -> None:
    baseline = f"production, {found.baseline}" if found.baseline else "-"
    table = Table("figure", f"version {found.version}", baseline, "limit", "", title=found.name)
    for each in found.figures:
        limit = "" if each.limit is None else f"{'≤' if each.lower_is_better else '≥'} {each.limit:.4f}"
        known = "" if each.baseline is None else f"{each.baseline:.4f}"
        verdict = "" if each.limit is None else "ok" if each.passed else "[red]worse[/red]"
        table.add_row(each.name, f"{each.candidate:.4f}", known, limit, verdict)
    if found.agreement is not None:
        table.add_row("agreement", f"{found.agreement:.4f}", "1.0000", "", "[dim]mean cosine[/dim]")
    output.out.print(table)
    output.out.print(f"{found.references} references, {found.queries} queries, on {found.server}", soft_wrap=True)


def _print_refusal(key: str, refused: Refused, as_json: bool) -> None:
    if as_json:
        verification = _told(refused.verification) if refused.verification else None
        output.print_json({"refused": list(refused.reasons), "verification": verification})
        return
    if refused.verification is not None:
        _print_figures(refused.verification)
    for reason in refused.reasons:
        output.err.print(f"[red]sosie:[/red] {key} is refused: {reason}", soft_wrap=True)


def _print_change(change: AliasChange | dict[str, Any], as_json: bool) -> None:
    if as_json or isinstance(change, dict):
        output.print_json(change)
        return
    before = f", before {change.previous}" if change.previous else ""
    forced = " [yellow](forced)[/yellow]" if change.forced else ""
    output.out.print(f"{change.name}@{change.alias} is {change.version}{before}{forced}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(model, name="model")
