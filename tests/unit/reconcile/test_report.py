"""Figures, objectives, the page and the store of reports."""

from __future__ import annotations

import os
import re
import xml.dom.minidom
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from materials.errors import UsageError
from reconcile.comparison.findings import Discrepancy, RunRow
from reconcile.comparison.sums import SideFigures
from reconcile.ledger.rows import window_of
from reconcile.report import figures, store
from reconcile.report.figures import LedgerGroup
from reconcile.report.objectives import Objectives, judged
from reconcile.report.page import page
from reconcile.report.records import Report, Sampled
from reconcile.report.table import table


def group(outcome: str, n: int, window: int = 0, **rest: object) -> LedgerGroup:
    return LedgerGroup(window=window, kind="post", outcome=outcome, n=n, **rest)  # type: ignore[arg-type]


def row(**told: object) -> RunRow:
    well = {"chain": "c", "material_id": "m", "revision": 0, "expected": 1, "entered": 1, "ended": 1, "results": 1}
    return RunRow(kind="post", **(well | told))  # type: ignore[arg-type]


def made(found: tuple[Discrepancy, ...] = (), lost: int = 0, **changes: object) -> Report:
    rows = [row(entered=1, ended=0, results=0, material_id=f"m{i}") for i in range(lost)]
    groups = [group("entered", 10 + lost), group("unique", 10, plugins="a@1", latency_class=600, longest=0.5)]
    windows = figures.by_window(groups, rows, lambda _r: 0, lambda _r: 0, lambda m: m)
    totals = figures.totals(windows, groups, 0)
    report = Report(
        name="x-1h",
        revision=1,
        made_at=7200.0,
        begin=0,
        end=3600,
        window_s=3600,
        runs=["r"],
        totals=totals,
        windows=windows,
        plugins=figures.plugins(groups),
        causes=figures.causes(groups),
        redirects=0,
        figures=[SideFigures("source", 10, 10, "0" * 16)],
        buckets=4096,
        differing_buckets=0,
        discrepancies=list(found),
        sample=[],
        canaries={},
        uncounted={},
        objectives=judged(Objectives(), totals, found, [], {}, {}),
    )
    return replace(report, **changes)


def test_the_gap_is_what_is_neither_terminal_nor_in_flight() -> None:
    groups = [group("entered", 5), group("unique", 2), group("dead", 1)]
    never_entered = row(entered=0, ended=0, results=0)
    rows = [
        never_entered,
        row(ended=0, results=0),
        row(ended=0, results=0, material_id="waits"),
        row(results=2, ended=2),
    ]
    windows = figures.by_window(
        groups, rows, lambda one: int(one.material_id == "waits"), lambda _r: 0, lambda minute: minute
    )
    [window] = windows
    assert (window.expected, window.terminal, window.in_flight, window.gap) == (6, 2, 1, 3)


def test_a_repair_in_a_later_window_counts_where_the_record_entered() -> None:
    groups = [group("entered", 1), group("unique", 1, window=3600)]
    repaired = row(repaired=1, ended_window_least=3660, ended_window_most=3660, entered_window_least=0)
    windows = figures.by_window(groups, [repaired], lambda _r: 0, lambda _r: 0, lambda m: window_of(m, 3600))
    assert [(w.start, w.expected, w.terminal, w.gap) for w in windows] == [(0, 1, 1, 0), (3600, 0, 0, 0)]


@given(st.lists(st.floats(0.001, 5000.0), min_size=1, max_size=300))
def test_percentiles_are_right_to_one_per_cent(seconds: list[float]) -> None:
    import math

    classes = Counter(math.floor(math.log(each * 1000.0) / math.log(1.01)) for each in seconds)
    found = figures.timeliness(classes, max(seconds))
    ordered = sorted(seconds)
    for share, value in ((0.5, found.p50_s), (0.99, found.p99_s)):
        exact = ordered[max(1, math.ceil(len(ordered) * share)) - 1]
        assert value == pytest.approx(exact, rel=0.011, abs=1e-4)


def test_plugins_and_causes() -> None:
    groups = [
        group("unique", 6, plugins="a@1,b@1"),
        group("duplicate", 2, plugins="a@1", missing="b@1", attempts=3),
        group("rejected", 4, cause="missing_file", attempts=1),
    ]
    assert [(p.plugin, p.ok, p.missing, p.rate) for p in figures.plugins(groups)] == [
        ("a@1", 8, 0, 1.0),
        ("b@1", 6, 2, 0.75),
    ]
    assert [(c.cause, c.materials, c.retries) for c in figures.causes(groups)] == [
        ("missing_file", 4, 0),
        ("passing_failure", 2, 4),
    ]


def test_objectives() -> None:
    assert made().met
    assert not made(lost=1).met
    totals = made().totals
    worse = judged(
        Objectives(p99_s=0.1), totals, [], [Sampled("m", "different")], {"w": "no answer within 30 s"}, {"r": "gone"}
    )
    missed = {one.name for one in worse if not one.met}
    assert missed == {"p99", "sample computed again", "canaries", "runs that cannot be counted"}
    assert all(one.met for one in judged(Objectives(), totals, [], [], {"w": "not sent: no folder"}, {}))


def test_the_page_is_whole_and_says_first_what_matters() -> None:
    bad = Discrepancy(name="lost", material_id="<b>&1", revision=0, detail="x < y", window=0)
    html = page(made((bad,), lost=2))
    assert "2 of 12 records are unaccounted for" in html
    assert "&lt;b&gt;&amp;1" in html
    assert "<b>&1" not in html
    assert not re.search(r"""(?:src|href)=|https?:|@import|url\(""", html)
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        xml.dom.minidom.parseString(svg)
    assert "All 10 records are accounted for" in page(made())
    assert page(made(windows=[]))


def test_the_table_has_a_row_for_each_window_and_kind() -> None:
    lines = table(made()).splitlines()
    assert lines[0].startswith("window,kind,expected")
    assert lines[1].startswith("1970-01-01T00:00:00Z,post,10,10,10,0,0,10,")


def test_a_report_never_changes_and_late_data_makes_a_revision(tmp_path: Path) -> None:
    first, path = store.keep(tmp_path, lambda revision: made(revision=revision))
    again, same = store.keep(tmp_path, lambda revision: made(revision=revision, made_at=9000.0))
    assert (first, path) == (again, same)
    assert not os.stat(path).st_mode & 0o222
    second, later = store.keep(tmp_path, lambda revision: made(lost=1, revision=revision, made_at=9100.0))
    assert second.revision == 2
    assert store.read(path) == first
    assert store.read(later) == second
    assert {each.name for each in later.parent.iterdir()} == {
        f"r{n}.{suffix}" for n in (1, 2) for suffix in ("json", "csv", "html")
    }
    assert store.find(tmp_path) == later
    assert store.find(tmp_path, "x-1h", 1) == path
    with pytest.raises(UsageError, match="no report y"):
        store.find(tmp_path, "y")
