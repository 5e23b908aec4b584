"""A report counts each record in the window in which it entered, also where a repair ended it in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.reconciling.comparing import Compared
from pipeline.reconciling.reconciliation import Gathered, Settings, Span, report_on
from pipeline.reconciling.snapshot import Snapshot
from reconcile.comparison.findings import RunRow
from reconcile.comparison.inputs import Inputs
from reconcile.ledger.runs import RunRecord
from reconcile.report.figures import LedgerGroup
from reconcile.report.records import Totals

HOUR = 3600
GROUPS = [
    LedgerGroup(window=0, kind="post", outcome="entered", n=3),
    LedgerGroup(window=0, kind="post", outcome="unique", n=2),
    LedgerGroup(window=HOUR, kind="post", outcome="unique", n=1),
]
REPAIRED = RunRow(
    chain="c",
    material_id="m",
    revision=0,
    kind="post",
    expected=1,
    entered=1,
    ended=1,
    results=1,
    repaired=1,
    entered_window_least=0,
    entered_window_most=HOUR,
    ended_window_least=HOUR,
    ended_window_most=HOUR,
)


def totals(begin: int, end: int) -> Totals:
    run = RunRecord(run_id="c", chain="c", job="j", policy="feed", source={}, sink={}, started_at=1.0, ended_at=2.0)
    snapshot = Snapshot(Inputs(Path(), Path(), Path(), Path(), ("c",), ()), [run], {}, 0)
    compared = Compared([], GROUPS, [REPAIRED], [], 1)
    gathered = Gathered(snapshot, compared, frozenset(), frozenset(), frozenset(), 9000.0)
    return report_on(gathered, Span(begin, end, HOUR), Settings(), made_at=9000.0)(1).totals


@pytest.mark.parametrize(("begin", "end", "count"), [(0, HOUR, 3), (HOUR, 2 * HOUR, 0), (0, 2 * HOUR, 3)])
def test_a_repair_beyond_the_span_closes_the_gap_in_it(begin: int, end: int, count: int) -> None:
    found = totals(begin, end)
    assert (found.expected, found.terminal, found.gap, found.completeness) == (count, count, 0, 1.0)
