"""From grouped counts of the ledger, and the records that differ, to the figures of a report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from reconcile.comparison.findings import RunRow
from reconcile.comparison.statements import latency_of
from reconcile.ledger.rows import NO_KIND
from reconcile.report.records import Cause, PluginFigures, Timeliness, Totals, WindowFigures


class LedgerGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the ledger that are alike: `n` of them. `outcome`: `entered` for rows of that stage. Seconds."""

    window: int
    kind: str
    outcome: str
    cause: str = ""
    attempts: int = 0
    plugins: str = ""
    missing: str = ""
    latency_class: int = 0
    n: int
    longest: float = 0.0


class _Cell:
    def __init__(self) -> None:
        self.expected = self.entered = self.terminal = self.in_flight = 0
        self.outcomes: Counter[str] = Counter()
        self.latencies: Counter[int] = Counter()
        self.longest = 0.0


def by_window(
    groups: Iterable[LedgerGroup],
    differing: Iterable[RunRow],
    in_flight: Callable[[RunRow], int],
    window_of: Callable[[RunRow], int],
    start_of: Callable[[int], int],
) -> list[WindowFigures]:
    """Figures by window and kind.

    Args:
        groups: of the ledger.
        differing: the records whose sides differ; of all others, entered, ended and expected are the same.
        in_flight: how many of a record's missing outcomes may still come.
        window_of: the start of the window that a differing record is counted in.
        start_of: the start of the window that a minute lies in.
    """
    cells: dict[tuple[int, str], _Cell] = defaultdict(_Cell)
    for group in groups:
        cell = cells[group.window, group.kind]
        if group.outcome == "entered":
            cell.entered += group.n
            cell.expected += group.n
        else:
            cell.terminal += group.n
            cell.outcomes[group.outcome] += group.n
            cell.latencies[group.latency_class] += group.n
            cell.longest = max(cell.longest, group.longest)
    for row in differing:
        cell = cells[window_of(row), row.kind or NO_KIND]
        cell.expected += row.expected - row.entered
        cell.terminal += min(row.results, row.expected) - row.ended
        cell.in_flight += in_flight(row)
        if row.repaired and row.ended_window_most is not None:  # it ended in the repair's window, and counts in its own
            moved = min(row.results, row.expected, row.repaired)
            cells[start_of(row.ended_window_most), row.kind or NO_KIND].terminal -= moved
            cell.terminal += moved
    return [
        WindowFigures(
            start=start,
            kind=kind,
            expected=cell.expected,
            entered=cell.entered,
            terminal=cell.terminal,
            in_flight=cell.in_flight,
            gap=cell.expected - cell.terminal - cell.in_flight,
            outcomes=dict(sorted(cell.outcomes.items())),
            timeliness=timeliness(cell.latencies, cell.longest),
        )
        for (start, kind), cell in sorted(cells.items())
    ]


def totals(windows: Sequence[WindowFigures], groups: Iterable[LedgerGroup], doubled: int) -> Totals:
    """All windows together."""
    outcomes: Counter[str] = Counter()
    for window in windows:
        outcomes.update(window.outcomes)
    latencies: Counter[int] = Counter()
    longest = 0.0
    for group in groups:
        if group.outcome != "entered":
            latencies[group.latency_class] += group.n
            longest = max(longest, group.longest)
    expected = sum(window.expected for window in windows)
    terminal = sum(window.terminal for window in windows)
    in_flight = sum(window.in_flight for window in windows)
    due = expected - in_flight
    return Totals(
        expected=expected,
        entered=sum(window.entered for window in windows),
        terminal=terminal,
        in_flight=in_flight,
        gap=expected - terminal - in_flight,
        doubled=doubled,
        completeness=terminal / due if due else 1.0,
        outcomes=dict(sorted(outcomes.items())),
        timeliness=timeliness(latencies, longest),
    )


def timeliness(latencies: Counter[int], longest: float) -> Timeliness:
    """Nearest-rank percentiles of classes of latency."""
    n = latencies.total()
    if not n:
        return Timeliness()
    found = []
    for share in (0.5, 0.99):
        rank, passed = max(1, -(-n * share // 1)), 0
        for latency_class in sorted(latencies):
            passed += latencies[latency_class]
            if passed >= rank:
                found.append(round(min(latency_of(latency_class), longest), 4))
                break
    return Timeliness(found[0], found[1], round(longest, 4))


def plugins(groups: Iterable[LedgerGroup]) -> list[PluginFigures]:
    """Success by plug-in version."""
    ok: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for group in groups:
        for name in filter(None, group.plugins.split(",")):
            ok[name] += group.n
        for name in filter(None, group.missing.split(",")):
            failed[name] += group.n
    names = sorted({*ok, *failed})
    return [PluginFigures(name, ok[name], failed[name], ok[name] / (ok[name] + failed[name])) for name in names]


def causes(groups: Iterable[LedgerGroup]) -> list[Cause]:
    """What was refused, died or was tried again, most frequent first."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for group in groups:
        if group.cause or group.attempts > 1:
            count = found[group.cause or "passing_failure", group.outcome]
            count[0] += group.n
            count[1] += max(0, group.attempts - 1) * group.n
    made = [Cause(cause, outcome, n, retries) for (cause, outcome), (n, retries) in found.items()]
    return sorted(made, key=lambda one: (-one.materials, one.cause, one.outcome))
