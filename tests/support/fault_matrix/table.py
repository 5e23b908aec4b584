"""`python -m fault_matrix.table SUMMARY.json …`: the tables of `docs/faults.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from fault_matrix.summary import Summary
from fault_matrix.verdict import Case


def table(cases: Sequence[Case]) -> str:
    """Markdown: a row for each case."""
    lines = [
        "| case | sent | outcomes | lost | two IDs | dead | repeated "
        "| queued | recovered in | slowest record | completeness | gap |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case in cases:
        numbers = (case.sent, case.outcomes, case.lost, case.two_ids, case.dead, case.repeated, case.queued)
        shown = " | ".join(str(number) for number in numbers)
        said = " | ".join(str(case.reconcile.get(name, "not asked")) for name in ("completeness", "gap"))
        lines.append(f"| `{case.name}` | {shown} | {case.recovery_s:.1f} s | {case.slowest_s:.1f} s | {said} |")
    return "\n".join(lines)


def main(paths: Sequence[str]) -> int:
    """The program."""
    for path in paths:
        summary = msgspec.json.decode(Path(path).read_bytes(), type=Summary)
        sys.stdout.write(f"From {summary.source}:\n\n{table(summary.cases)}\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
