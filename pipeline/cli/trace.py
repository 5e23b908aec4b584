"""`sosie trace`: one material's whole way, with why it was slow or failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materials.errors import Permanent, UsageError
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.tracing.page import page
from pipeline.tracing.reconciled import findings_about
from pipeline.tracing.story import story_of
from pipeline.tracing.timeline import drawn
from reconcile.traces.reading import traces_of
from reconcile.traces.segments import FOLDER


def trace(
    name: Annotated[str, typer.Argument(metavar="MATERIAL_ID", help="Of a material; or a trace id, 32 hex digits.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="Also a page with every step and figure.")
    ] = None,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """One material's whole way as a timeline: each step, how long it took, why it was slow or failed."""
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out writes a page, and {out.name} is not named like one", "name it FILE.html")
    folder = state_folder(state)
    found = traces_of(folder / FOLDER, name)
    findings = findings_about(folder, found[0].material_id if found else name)
    if not found and findings:
        told = " ".join(finding.sentence for finding in findings)
        raise Permanent(f"no trace of {name!r} is kept, but its reports know it. {told}")
    if not found:
        raise UsageError(
            f"no trace of {name!r} is kept in {folder / FOLDER}",
            "it was never read, sampled away or is too old (job spec: `tracing`); `sosie content get` knows outcomes",
        )
    story = story_of(found[0], [each.trace_id for each in found[1:6]], findings)
    if out is not None:
        try:
            out.write_text(page(story), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}", "give another --out") from None
    if as_json:
        output.print_json(story)
        return
    output.out.print(drawn(story))
    if out is not None:
        output.out.print(f"drawn: {out}", style="dim", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace", epilog="[bold]Example[/bold]: sosie trace P1 --out p1.html")(trace)
