"""A calibration as a picture: precision and recall over the threshold, with their bounds; as PNG, or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

import msgspec
from PIL import Image, ImageDraw

from materials.errors import UsageError
from materials.records import Kind
from vector_index.calibration.curve import Curve, Point
from vector_index.calibration.reliability import Reliability

WIDTH, HEIGHT, EDGE = 640, 360, 44
COLOURS = {"precision": "#1f5fae", "recall": "#b8551c"}
LIGHT = {"precision": "#a9c6ea", "recall": "#f0c9ae"}
Line = list[tuple[float, float]]


class KindFit(msgspec.Struct, frozen=True):
    """One kind: the curve, how far the scores are probabilities, and the chosen point; without one, why not."""

    curve: Curve
    reliability: Reliability
    chosen: Point | None
    refused: str = ""


def write_report(path: Path, title: str, fits: Mapping[Kind, KindFit]) -> None:
    """Write `.png` or `.html`.

    Raises:
        UsageError: another ending, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in (".png", ".html"):
        raise UsageError(f"a report ends in .png or .html, not {path.suffix or path.name}", "--out curve.html")
    try:
        if ending == ".png":
            _picture(title, fits).save(path)
        else:
            path.write_text(page(title, fits), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "name another file") from None


def lines_of(fit: KindFit) -> dict[tuple[str, bool], Line]:
    """(measure, is it a bound) -> (threshold, value) steps from the highest threshold down."""
    found: dict[tuple[str, bool], Line] = {}
    points = fit.curve.points
    for measure, value, low in (("precision", "precision", "precision_low"), ("recall", "recall", "recall_low")):
        found[measure, True] = [(point.threshold, getattr(point, low)) for point in points]
        found[measure, False] = [(point.threshold, getattr(point, value)) for point in points]
    return found


def _at(point: tuple[float, float], top: float = 0.0) -> tuple[float, float]:
    x, y = point
    return EDGE + x * (WIDTH - 2 * EDGE), top + HEIGHT - EDGE - y * (HEIGHT - 2 * EDGE)


def page(title: str, fits: Mapping[Kind, KindFit]) -> str:
    """The page: for each kind the curve and the table of probabilities. Needs nothing but itself."""
    sections = "".join(f"<h2>{kind}</h2>{_told(fit)}{_svg(fit)}{_bins(fit.reliability)}" for kind, fit in fits.items())
    style = (
        "body{font:15px sans-serif;max-width:44em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
        "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}svg{max-width:100%}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{style}</style>'
        f"<h1>{escape(title)}</h1>{sections}</html>\n"
    )


def _told(fit: KindFit) -> str:
    if fit.chosen is None:
        return f"<p>{escape(fit.refused)}</p>"
    point, sure = fit.chosen, f"{fit.curve.confidence:.0%}"
    return (
        f"<p>Threshold <b>{point.threshold:.3f}</b>: precision {point.precision:.3f} ({sure} sure of "
        f"{point.precision_low:.3f}), recall {point.recall:.3f} ({point.recall_low:.3f} to {point.recall_high:.3f}); "
        f"{fit.curve.same} pairs of same and {fit.curve.different} of different content.</p>"
    )


def _svg(fit: KindFit) -> str:
    parts = []
    for step in range(0, 11, 2):
        x, y = _at((step / 10, 0))[0], _at((0, step / 10))[1]
        parts.append(f'<path d="M{EDGE} {y:.1f}H{WIDTH - EDGE}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - EDGE + 18}" text-anchor="middle">{step / 10:.1f}</text>')
        parts.append(f'<text x="{EDGE - 8}" y="{y + 4:.1f}" text-anchor="end">{step / 10:.1f}</text>')
    for (measure, bound), line in lines_of(fit).items():
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(_at, line))
        colour = (LIGHT if bound else COLOURS)[measure]
        parts.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for number, (measure, colour) in enumerate(COLOURS.items()):
        parts.append(f'<text x="{EDGE + 8 + 90 * number}" y="{EDGE - 12}" fill="{colour}">{measure}</text>')
    if fit.chosen is not None:
        x = _at((fit.chosen.threshold, 0))[0]
        parts.append(f'<path d="M{x:.1f} {EDGE}V{HEIGHT - EDGE}" stroke="#333" stroke-dasharray="4 4"/>')
    inside = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="12" role="img" '
        f'aria-label="precision and recall over the threshold, pale: their lower bounds">{inside}</svg>'
    )


def _bins(found: Reliability) -> str:
    rows = "".join(
        f"<tr><td>{one.low:.1f}–{one.high:.1f}</td><td>{one.pairs}</td><td>{one.said:.3f}</td><td>{one.true:.3f}</td>"
        f"<td>{one.true_low:.3f}–{one.true_high:.3f}</td></tr>"
        for one in found.bins
    )
    return (
        f"<p>Are the scores probabilities? Mean distance {found.expected_error:.4f}.</p>"
        f"<table><tr><th>score</th><th>pairs</th><th>said</th><th>true</th><th>within</th></tr>{rows}</table>"
    )


def _picture(title: str, fits: Mapping[Kind, KindFit]) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT * max(1, len(fits))), "white")
    draw = ImageDraw.Draw(image)
    for number, (kind, fit) in enumerate(fits.items()):
        top = float(number * HEIGHT)
        draw.text((EDGE, top + 8), f"{title}: {kind}", fill="black")
        for step in range(0, 11, 2):
            x, y = _at((step / 10, 0), top)[0], _at((0, step / 10), top)[1]
            draw.line((EDGE, y, WIDTH - EDGE, y), fill="#e5e5e5")
            draw.text((x - 8, top + HEIGHT - EDGE + 6), f"{step / 10:.1f}", fill="black")
            draw.text((EDGE - 26, y - 6), f"{step / 10:.1f}", fill="black")
        for (measure, bound), line in lines_of(fit).items():
            if len(line) > 1:
                where = [_at(point, top) for point in line]
                draw.line(where, fill=(LIGHT if bound else COLOURS)[measure], width=2)
        for place, (measure, colour) in enumerate(COLOURS.items()):
            draw.text((EDGE + 8 + 90 * place, top + EDGE - 18), measure, fill=colour)
        if fit.chosen is not None:
            x = _at((fit.chosen.threshold, 0), top)[0]
            draw.line((x, top + EDGE, x, top + HEIGHT - EDGE), fill="#333333")
    return image
