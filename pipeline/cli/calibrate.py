"""`sosie calibrate`: thresholds of a policy from labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from deploy.parts.index import NAME as INDEX
from materials.errors import UsageError
from materials.records import KINDS, Kind
from pipeline import lookups
from pipeline.calibration_report import KindFit, write_report
from pipeline.cli import output
from pipeline.jobs import state_folder
from pipeline.labelled_pairs import JudgedPair, read_pairs, score_pairs
from vector_index.calibration.curve import Point, ScoredPair, curve, threshold_for
from vector_index.calibration.reliability import reliability
from vector_index.policies import FILE_NAME, policies_of, policy_named, read_policies

SHOWN = 12
"""Points of a curve that a person is shown."""

EPILOG = """[bold]Example[/bold]: sosie calibrate --pairs labelled.jsonl --precision 0.9 --policy feed --out curve.html

labelled.jsonl, one pair a line, of materials that the index holds:

  {"a": "P1", "b": "P2", "same": true}

[dim]One side may be {"text": "…"} or {"file": "photo.jpg"} instead of an id.[/dim]"""


def fit_kinds(judged: list[JudgedPair], precision: float, confidence: float) -> dict[Kind, KindFit]:
    """By kind of the pairs; a kind that cannot be fitted says why."""
    fits: dict[Kind, KindFit] = {}
    for kind in KINDS:
        pairs = [ScoredPair(one.score, one.pair.same) for one in judged if one.kind == kind]
        if not pairs:
            continue
        found, probable = curve(pairs, confidence), reliability(pairs)
        try:
            fits[kind] = KindFit(found, probable, threshold_for(found, precision))
        except UsageError as error:
            fits[kind] = KindFit(found, probable, None, f"{error.message}; {error.remedy}")
    return fits


def calibrate(
    pairs: Annotated[Path, typer.Option("--pairs", help="Labelled pairs, JSON lines.", show_default=False)],
    precision: Annotated[float, typer.Option("--precision", help="The precision that is wanted.")] = 0.9,
    policy: Annotated[str, typer.Option("--policy", help="The policy that it is for.")] = "feed",
    confidence: Annotated[
        float, typer.Option("--confidence", help="How sure it must be; 0.5 takes the counted precision.")
    ] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", help="The curve as .png or .html.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put the thresholds into STATE/index/policies.yaml, for the next start.")
    ] = False,
    state: output.StateOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Fit the thresholds of a policy to labelled pairs, and show what each threshold is worth."""
    if not 0 < precision < 1 or not 0.5 <= confidence < 1:
        raise UsageError("--precision lies between 0 and 1, --confidence from 0.5 to below 1", "--precision 0.9")
    if out is not None and out.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"a report ends in .png or .html, not {out.suffix or out.name}", "--out curve.html")
    folder = state_folder(state)
    policy_named(policy, policies_of(folder / INDEX))
    fits = fit_kinds(score_pairs(lookups.addresses(folder), read_pairs(pairs), policy), precision, confidence)
    if out is not None:
        write_report(out, f"{policy}: precision and recall", fits)
    chosen = {kind: fit.chosen for kind, fit in fits.items() if fit.chosen is not None}
    if not chosen:
        raise UsageError("; ".join(f"{kind}: {fit.refused}" for kind, fit in fits.items()), f"see {pairs}")
    changes = _changes(policy, chosen, fits)
    path = folder / INDEX / FILE_NAME
    if write:
        _write(path, changes)
    if as_json:
        output.print_json({"policy": policy, "precision": precision, "confidence": confidence, "kinds": fits})
        return
    _show(fits)
    if write:
        output.out.print(f"written to {path}; the index takes it when it starts: sosie down, sosie up", soft_wrap=True)
    else:
        output.out.print(f"To use it, add --write, or put this into {path}:\n", soft_wrap=True)
        output.out.print(yaml.safe_dump(changes, sort_keys=False), markup=False)


def _changes(policy: str, chosen: Mapping[Kind, Point], fits: Mapping[Kind, KindFit]) -> dict[str, Any]:
    thresholds = {kind: round(point.threshold, 4) for kind, point in chosen.items()}
    measured = {
        kind: {
            "precision": round(point.precision, 4),
            "recall": round(point.recall, 4),
            "same": fits[kind].curve.same,
            "different": fits[kind].curve.different,
            "by": "sosie calibrate, on the pairs of the fit",
        }
        for kind, point in chosen.items()
    }
    return {"policies": {policy: {"thresholds": dict(thresholds), "measured": measured}}}


def _write(path: Path, changes: dict[str, Any]) -> None:
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {"policies": {}}
        policies_of(path.parent)  # what is there must be sound before it is written over
        for name, fields in changes["policies"].items():
            entry = before["policies"].setdefault(name, {})
            for key, values in fields.items():
                entry[key] = {**entry.get(key, {}), **values}
        text = yaml.safe_dump(before, sort_keys=False, allow_unicode=True)
        read_policies(text, str(path), policies_of(path.parent))
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "look whose folder it is") from None


def _show(fits: Mapping[Kind, KindFit]) -> None:
    for kind, fit in fits.items():
        pairs = f"{fit.curve.same} pairs of same and {fit.curve.different} of different content"
        table = Table(title=f"{kind}: {pairs}", title_justify="left")
        for name in (
            "threshold",
            "precision",
            f"{fit.curve.confidence:.0%} ≥",
            "recall",
            f"{fit.curve.confidence:.0%} ≥",
        ):
            table.add_column(name, justify="right")
        for point in shown(fit):
            figures = (point.threshold, point.precision, point.precision_low, point.recall, point.recall_low)
            table.add_row(*(f"{figure:.3f}" for figure in figures), style="bold" if point == fit.chosen else None)
        output.out.print(table)
        if fit.chosen is None:
            output.out.print(f"[yellow]no threshold:[/yellow] {fit.refused}", soft_wrap=True)
        error = fit.reliability.expected_error
        output.out.print(f"scores are off as probabilities by {error:.3f} on the mean\n")


def shown(fit: KindFit) -> list[Point]:
    """A few points of the curve, evenly over recall, the chosen one among them, from the highest threshold down."""
    points = fit.curve.points
    step = max(1, len(points) // SHOWN)
    few = list(points[step - 1 :: step])
    if fit.chosen is not None:
        few = [point for point in few if point.right != fit.chosen.right or point.wrong != fit.chosen.wrong]
        few.append(fit.chosen)
    return sorted(few, key=lambda point: -point.threshold)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate", epilog=EPILOG)(calibrate)
