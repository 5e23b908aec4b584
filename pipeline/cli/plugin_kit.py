"""`sosie plugin new` and `sosie plugin check`: what a plug-in author needs, without a stack and a model server."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model_plugins.conformance import Limits, Report, Result, resolve, supervise
from model_plugins.kit.scaffold import write_package
from pipeline.cli import output

_STYLES = {"pass": "green", "fail": "red", "skipped": "yellow", "n/a": "dim"}
_DEFAULTS = Limits()


class MediumKind(StrEnum):
    """What a new plug-in takes."""

    image = "image"
    video = "video"
    text = "text"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, hyphens: colour-histogram.")],
    kind: Annotated[MediumKind, typer.Option("--kind", help="The medium that it takes.")] = MediumKind.image,
    with_model: Annotated[
        bool, typer.Option("--with-model/--without-model", help="Whether a model server computes the feature.")
    ] = False,
    as_json: output.JsonOption = False,
) -> None:
    """Write ./NAME: a plug-in package that runs and passes its check as it is."""
    folder = write_package(name, Path.cwd(), kind.value, with_model=with_model)
    module = folder / name.replace("-", "_") / "plugin.py"
    if as_json:
        output.print_json({"name": name, "folder": folder, "plugin": module})
        return
    output.out.print(f"wrote {escape(name)}/: edit {escape(str(module.relative_to(Path.cwd())))}, then", soft_wrap=True)
    output.out.print(f"  sosie plugin check {escape(shlex.quote(name))}", soft_wrap=True)


def check(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A package folder, a wheel, FILE.py[:Class], module:Class or a name.")
    ],
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help="Processor time that one call may take.")
    ] = _DEFAULTS.seconds,
    memory_mib: Annotated[
        int, typer.Option("--memory-mib", min=16, help="Memory that the plug-in may hold once it is loaded.")
    ] = _DEFAULTS.memory_mib,
    as_json: output.JsonOption = False,
) -> None:
    """Judge every promise of the plug-in protocol, in a child process; exit code 1 when one is broken.

    This runs the plug-in's code.
    """
    limits = Limits(seconds=seconds, memory_mib=memory_mib)
    reports = [supervise(target, limits) for target in resolve(path)]
    if as_json:
        output.print_json([document(report) for report in reports])
    else:
        for report in reports:
            _show(report)
    if not all(report.passed for report in reports):
        raise typer.Exit(output.EXIT_FAILED)


def document(report: Report) -> dict[str, object]:
    """The report for programs."""
    return {
        "plugin": report.plugin,
        "path": report.path,
        "passed": report.passed,
        "measured": report.measured,
        "promises": report.results,
    }


def _show(report: Report) -> None:
    table = Table("promise", "", "what is promised", title=escape(report.plugin), title_justify="left")
    table.columns[0].overflow = "fold"  # the documentation goes by these names
    for result in report.results:
        style = _STYLES[result.status]
        table.add_row(result.promise, f"[{style}]{result.status}[/{style}]", escape(result.promised))
    output.out.print(table)
    for result in report.failures:
        _explain(result)
    if report.measured is not None and report.measured.call:
        dearest = report.measured
        of = f" of {escape(repr(dearest.example))}" if dearest.example else ""
        output.out.print(
            f"dearest call: {escape(dearest.call)}{of}, {dearest.seconds:.3f} s of "
            f"processor time; {dearest.memory_mib:.0f} MiB beside the loaded plug-in",
            soft_wrap=True,
        )
    counts = {status: sum(each.status == status for each in report.results) for status in _STYLES}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    word = "[green]keeps every promise[/green]" if report.passed else "[red]breaks a promise[/red]"
    output.out.print(f"{escape(report.plugin)} {word}: {said}", soft_wrap=True)


def _explain(result: Result) -> None:
    rows = {
        "happened": result.happened,
        "example": result.example,
        "promised": result.promised,
        "change": result.change,
        "see": result.see,
    }
    output.out.print(f"[red]{result.promise}[/red]")
    for label, text in rows.items():
        if text:
            output.out.print(f"  {label:9} {escape(text)}", soft_wrap=True)


def add_to(group: typer.Typer) -> None:
    """Add both commands to the group `sosie plugin`."""
    group.command("new", epilog="[bold]Example[/bold]: sosie plugin new colour-histogram --kind image")(new)
    group.command("check", epilog="[bold]Example[/bold]: sosie plugin check ./colour-histogram")(check)
