"""What was promised, and whether a report keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from reconcile.comparison.findings import Discrepancy
from reconcile.report.records import Objective, Sampled, Totals

CANARY_WELL = "answered"
"""What stands first in the word on a canary that did as it should."""
CANARY_NOT_SENT = "not sent"


class Objectives(msgspec.Struct, frozen=True, kw_only=True):
    """`late_s`: seconds after which an outcome is late; `p99_s`: 0 for none; `least_complete`: of the records due."""

    least_complete: float = 1.0
    late_s: float = 600.0
    p99_s: float = 0.0


def judged(
    promised: Objectives,
    totals: Totals,
    found: Sequence[Discrepancy],
    sample: Sequence[Sampled],
    canaries: Mapping[str, str],
    uncounted: Mapping[str, str],
) -> list[Objective]:
    """Every objective with its value."""
    made = [
        Objective(
            "completeness",
            f">= {promised.least_complete:g}",
            f"{totals.completeness:.6f}",
            totals.completeness >= promised.least_complete,
        ),
        Objective("unexplained gap", "0", str(totals.gap), totals.gap == 0),
        Objective("outcomes doubled", "0", str(totals.doubled), totals.doubled == 0),
        Objective("discrepancies", "0", str(len(found)), not found),
        Objective("runs that cannot be counted", "0", str(len(uncounted)), not uncounted),
    ]
    if promised.p99_s:
        p99 = totals.timeliness.p99_s
        made.append(Objective("p99", f"<= {promised.p99_s:g} s", f"{p99 or 0.0:.3f} s", (p99 or 0.0) <= promised.p99_s))
    if sample:
        differ = sum(one.verdict == "different" for one in sample)
        made.append(Objective("sample computed again", "0 differ", f"{differ} of {len(sample)} differ", not differ))
    sent = [told for told in canaries.values() if not told.startswith(CANARY_NOT_SENT)]
    if sent:
        well = sum(told.startswith(CANARY_WELL) for told in sent)
        made.append(Objective("canaries", "all answered", f"{well} of {len(sent)} answered", well == len(sent)))
    return made
