"""The report as one HTML page: first the verdict, then where and what, then the figures behind it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from materials.records import OUTCOMES
from reconcile.comparison.findings import MEANING
from reconcile.report.charts import lines, share_bar, stacked
from reconcile.report.records import Report, WindowFigures
from reconcile.report.table import moment

_SHOWN = 500
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;margin:0;background:#f5f7fa}
main{max-width:920px;margin:0 auto;padding:24px}
section{background:#fff;border:1px solid #e4e7eb;border-radius:6px;padding:16px 20px;margin:16px 0}
h1{font-size:17px;font-weight:600;margin:0 0 8px;color:#52606d}h2{font-size:15px;margin:0 0 10px}
.verdict{font-size:30px;font-weight:700;margin:0}.good{color:#1b6b4f}.bad{color:#c8372d}
.tiles{display:flex;gap:12px;flex-wrap:wrap;margin-top:14px}
.tile{flex:1;min-width:110px;background:#f5f7fa;border-radius:4px;padding:8px 12px}
.tile b{display:block;font-size:21px;font-variant-numeric:tabular-nums}.tile span{color:#52606d;font-size:13px}
table{border-collapse:collapse;width:100%;font-size:13px}
td,th{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid #edf0f2;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:12px;overflow-wrap:anywhere}
.legend span{margin-right:16px;font-size:13px}.legend i{display:inline-block;width:11px;height:11px;margin-right:5px}
svg{max-width:100%;height:auto}.quiet{color:#52606d;font-size:13px}
"""


def page(report: Report) -> str:
    """A whole document, without a reference to any other."""
    begin, end = moment(report.begin), moment(report.end)
    inside = [
        _verdict(report, begin, end),
        _windows(report),
        _discrepancies(report),
        _objectives(report),
        _plugins_and_causes(report),
        _sides(report),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Reconciliation {begin} to {end}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(inside)}</main></body></html>\n"
    )


def verdict(report: Report) -> str:
    """The one sentence that matters."""
    totals = report.totals
    if totals.gap:
        return f"{totals.gap:,} of {totals.expected:,} records are unaccounted for"
    if report.uncounted:
        return f"{len(report.uncounted)} runs cannot be counted again"
    if report.discrepancies:
        wrong = f"{len(report.discrepancies):,} are not as they should be"
        return f"All {totals.expected:,} records are accounted for; {wrong}"
    if not report.met:
        missed = ", ".join(objective.name for objective in report.objectives if not objective.met)
        return f"All {totals.expected:,} records are accounted for; missed: {missed}"
    return f"All {totals.expected:,} records are accounted for"


def _verdict(report: Report, begin: str, end: str) -> str:
    totals = report.totals
    took = totals.timeliness
    tiles = {
        "in the source": f"{totals.expected:,}",
        "have an outcome": f"{totals.terminal:,}",
        "in flight": f"{totals.in_flight:,}",
        "unexplained gap": f"{totals.gap:,}",
        "outcomes doubled": f"{totals.doubled:,}",
        "completeness": f"{totals.completeness:.4%}",
        "p99": "–" if took.p99_s is None else f"{took.p99_s:.2f} s",
    }
    shown = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in tiles.items())
    made = moment(report.made_at)
    return (
        f"<section><h1>{begin} to {end} · revision {report.revision}, made {made}</h1>"
        f'<p class="verdict {"good" if report.met else "bad"}">{escape(verdict(report))}</p>'
        f'<div class="tiles">{shown}</div></section>'
    )


def _windows(report: Report) -> str:
    by_start: dict[int, list[WindowFigures]] = defaultdict(list)
    for window in report.windows:
        by_start[window.start].append(window)
    starts = sorted(by_start)
    labels = [_short(start, starts) for start in starts]
    series: dict[str, Sequence[int]] = {
        outcome: [sum(w.outcomes.get(outcome, 0) for w in by_start[start]) for start in starts] for outcome in OUTCOMES
    }
    series["in flight"] = [sum(w.in_flight for w in by_start[start]) for start in starts]
    series["gap"] = [max(0, sum(w.gap for w in by_start[start])) for start in starts]
    p50 = [_largest(w.timeliness.p50_s for w in by_start[start]) for start in starts]
    p99 = [_largest(w.timeliness.p99_s for w in by_start[start]) for start in starts]
    rows = [
        [
            moment(w.start),
            w.kind,
            *(f"{value:,}" for value in (w.expected, w.terminal, w.in_flight, w.gap)),
            "–" if w.timeliness.p99_s is None else f"{w.timeliness.p99_s:.2f}",
        ]
        for w in report.windows
    ]
    return (
        f"<section><h2>When</h2>{stacked(labels, series)}</section>"
        f"<section><h2>How long it took (the slowest kind of each window)</h2>"
        f"{lines(labels, {'p50': p50, 'p99': p99}, 's')}</section><section><h2>By window and kind</h2>"
        + _table(["window", "kind", "expected", "terminal", "in flight", "gap", "p99 (s)"], rows, numbers=2)
        + "</section>"
    )


def _discrepancies(report: Report) -> str:
    found = report.discrepancies
    if not found:
        return "<section><h2>Discrepancies</h2><p>None.</p></section>"
    counts = Counter(one.name for one in found)
    kinds = _table(
        ["what", "records", "which means"],
        [[name, f"{n:,}", MEANING[name]] for name, n in counts.most_common()],
    )
    rows = [
        [
            one.name,
            f"<code>{escape(one.material_id)}</code> r{one.revision}",
            "–" if one.window is None else moment(one.window),
            escape(one.detail),
            escape(one.source),
        ]
        for one in found[:_SHOWN]
    ]
    more = f'<p class="quiet">{len(found) - _SHOWN:,} more stand in the JSON file.</p>' if len(found) > _SHOWN else ""
    each = _table(["what", "record", "window", "detail", "source"], rows, raw=True)
    return f"<section><h2>Discrepancies</h2>{kinds}<br>{each}{more}</section>"


def _objectives(report: Report) -> str:
    rows = [
        [one.name, one.target, one.value, '<b class="good">met</b>' if one.met else '<b class="bad">missed</b>']
        for one in report.objectives
    ]
    notes = [f"{escape(run)}: {escape(why)}" for run, why in report.uncounted.items()]
    notes += [f"canary of {escape(window)}: {escape(told)}" for window, told in report.canaries.items()]
    notes += [
        f"computed again: <code>{escape(one.material_id)}</code> {one.verdict} {escape(one.detail)}"
        for one in report.sample
        if one.verdict != "same"
    ]
    more = "".join(f'<p class="quiet">{note}</p>' for note in notes)
    return f"<section><h2>Objectives</h2>{_table(['objective', 'target', 'is', ''], rows, raw=True)}{more}</section>"


def _plugins_and_causes(report: Report) -> str:
    plugins = _table(
        ["plug-in", "", "success", "missing"],
        [[escape(p.plugin), share_bar(p.rate), f"{p.rate:.3%}", f"{p.missing:,}"] for p in report.plugins],
        raw=True,
    )
    causes = _table(
        ["cause", "outcome", "records", "retries"],
        [[c.cause, c.outcome, f"{c.materials:,}", f"{c.retries:,}"] for c in report.causes],
        numbers=2,
    )
    return (
        f"<section><h2>Plug-ins</h2>{plugins}</section>"
        f"<section><h2>Refused, dead, or tried again</h2>{causes if report.causes else '<p>Nothing.</p>'}</section>"
    )


def _sides(report: Report) -> str:
    rows = [[figure.side, f"{figure.n:,}", f"{figure.distinct:,}", figure.sum] for figure in report.figures]
    looked = f"{report.differing_buckets:,} of {report.buckets:,} buckets differed and were joined by id."
    merged = f"Content IDs merged in this time: {report.redirects:,}."
    return (
        "<section><h2>What was compared</h2>"
        + _table(["side", "records", "distinct", "sum of hashes"], rows, numbers=1)
        + f'<p class="quiet">{looked} {merged} Runs: {escape(", ".join(report.runs)) or "none"}.</p></section>'
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 99, raw: bool = False) -> str:
    """Cells from column `numbers` on are set to the right."""

    def cell(tag: str, i: int, text: str, safe: bool) -> str:
        right = ' class="n"' if i >= numbers else ""
        return f"<{tag}{right}>{text if safe else escape(text)}</{tag}>"

    def row(tag: str, cells: Sequence[str], safe: bool) -> str:
        return "<tr>" + "".join(cell(tag, i, text, safe) for i, text in enumerate(cells)) + "</tr>"

    return f"<table>{row('th', head, False)}{''.join(row('td', cells, raw) for cells in rows)}</table>"


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _short(start: int, starts: Sequence[int]) -> str:
    days = {datetime.fromtimestamp(each, UTC).date() for each in starts}
    return datetime.fromtimestamp(start, UTC).strftime("%d %b %H:%M" if len(days) > 1 else "%H:%M")
