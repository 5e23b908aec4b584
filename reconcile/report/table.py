"""A report's windows as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from materials.records import OUTCOMES
from reconcile.report.records import Report


def table(report: Report) -> str:
    """One row for each window and kind."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["window", "kind", "expected", "entered", "terminal", "in_flight", "gap", *OUTCOMES, "p50_s", "p99_s", "max_s"]
    )
    for window in report.windows:
        took = window.timeliness
        writer.writerow(
            [
                moment(window.start),
                window.kind,
                window.expected,
                window.entered,
                window.terminal,
                window.in_flight,
                window.gap,
                *(window.outcomes.get(outcome, 0) for outcome in OUTCOMES),
                took.p50_s,
                took.p99_s,
                took.max_s,
            ]
        )
    return out.getvalue()


def moment(seconds: float) -> str:
    """RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
