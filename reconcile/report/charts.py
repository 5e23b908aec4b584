"""Plots as inline SVG: a page needs no other file and no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLOURS = {
    "unique": "#2b7a78",
    "duplicate": "#7bb6b3",
    "deleted": "#9aa5b1",
    "rejected": "#c9b458",
    "dead": "#8d4f9e",
    "in flight": "#e8a33d",
    "gap": "#c8372d",
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 860, 220, 56, 34


def stacked(labels: Sequence[str], series: dict[str, Sequence[int]]) -> str:
    """Bars by label, the series one above the other; a series without a value anywhere is left out."""
    shown = {name: values for name, values in series.items() if any(values)}
    highest = max((sum(values[i] for values in shown.values()) for i in range(len(labels))), default=0) or 1
    step = (_WIDTH - _LEFT) / max(1, len(labels))
    parts = [_axis(highest, ""), _names(labels, step)]
    for i, label in enumerate(labels):
        top = float(_HEIGHT - _BOTTOM)
        for name, values in shown.items():
            value = values[i]
            if value <= 0:
                continue
            tall = max(2.0 if name in ("gap", "dead") else 0.0, value / highest * (_HEIGHT - _BOTTOM - 12))
            top -= tall
            parts.append(
                f'<rect x="{_LEFT + i * step + step * 0.12:.1f}" y="{top:.1f}" width="{step * 0.76:.1f}"'
                f' height="{tall:.1f}" fill="{COLOURS[name]}"><title>{escape(label)}: {value:,} {name}</title></rect>'
            )
    return _svg("Records by window", parts) + _legend(shown)


def lines(labels: Sequence[str], series: dict[str, Sequence[float | None]], unit: str) -> str:
    """Lines by label; a gap where there is no value."""
    values = [value for line in series.values() for value in line if value is not None]
    highest = max(values, default=0.0) or 1.0
    step = (_WIDTH - _LEFT) / max(1, len(labels))
    parts = [_axis(highest, unit), _names(labels, step)]
    for (name, line), colour in zip(series.items(), ("#2b7a78", "#e8a33d", "#c8372d"), strict=False):
        points = [
            (_LEFT + (i + 0.5) * step, _HEIGHT - _BOTTOM - value / highest * (_HEIGHT - _BOTTOM - 12), label, value)
            for i, (label, value) in enumerate(zip(labels, line, strict=True))
            if value is not None
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{escape(label)}: {name} {value:.3g}'
            f" {unit}</title></circle>"
            for x, y, label, value in points
        ]
        if points:
            x, y = points[-1][:2]
            parts.append(f'<text x="{x - 6:.1f}" y="{y - 6:.1f}" text-anchor="end" fill="{colour}">{name}</text>')
    return _svg("Seconds from entry to outcome", parts)


def share_bar(share: float) -> str:
    """A bar of 0 to 100 per cent."""
    width = max(0.0, min(1.0, share)) * 160
    colour = COLOURS["unique"] if share >= 0.999 else COLOURS["in flight"] if share >= 0.95 else COLOURS["gap"]
    return (
        f'<svg width="160" height="12" role="img" aria-label="{share:.2%}"><rect width="160" height="12"'
        f' fill="#edf0f2"/><rect width="{width:.1f}" height="12" fill="{colour}"/></svg>'
    )


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}"'
        f' font-size="11" fill="#52606d">{"".join(parts)}</svg>'
    )


def _axis(highest: float, unit: str) -> str:
    base = _HEIGHT - _BOTTOM
    lines_ = []
    for share in (0.0, 0.5, 1.0):
        y = base - share * (base - 12)
        value = highest * share
        told = f"{value:,.0f}" if highest >= 10 else f"{value:.2g}"
        lines_.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}" stroke="#e4e7eb"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{told}{unit and " " + unit}</text>'
        )
    return "".join(lines_)


def _names(labels: Sequence[str], step: float) -> str:
    every = max(1, -(-len(labels) * 70 // (_WIDTH - _LEFT)))
    return "".join(
        f'<text x="{_LEFT + (i + 0.5) * step:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(label)}</text>'
        for i, label in enumerate(labels)
        if i % every == 0
    )


def _legend(names: Sequence[str] | dict[str, Sequence[int]]) -> str:
    return (
        '<p class="legend">'
        + "".join(f'<span><i style="background:{COLOURS[name]}"></i>{name}</span>' for name in names)
        + "</p>"
    )
