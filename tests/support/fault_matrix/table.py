"""`python -m fault_matrix.table SUMMARY.json …`: the tables of `docs/faults.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from fault_matrix.verdict import Case


class Summary(msgspec.Struct):
    """What the table needs of a summary."""

    source: str
    cases: list[Case]


def table(cases: Sequence[Case]) -> str:
    """Markdown: a row for each case."""
    lines = [
        "| case | sent | outcomes | lost | two IDs | dead | repeated | recovered in | slowest record |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case in cases:
        numbers = (case.sent, case.outcomes, case.lost, case.two_ids, case.dead, case.repeated)
        shown = " | ".join(str(number) for number in numbers)
        lines.append(f"| `{case.name}` | {shown} | {case.recovery_s:.1f} s | {case.slowest_s:.1f} s |")
    return "\n".join(lines)


def main(paths: Sequence[str]) -> int:
    """The program."""
    for path in paths:
        summary = msgspec.json.decode(Path(path).read_bytes(), type=Summary)
        sys.stdout.write(f"From {summary.source}:\n\n{table(summary.cases)}\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
