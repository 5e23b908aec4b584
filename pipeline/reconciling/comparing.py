"""The comparison itself: sums by bucket first, single records only where sums differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline.flink.tables import BatchTables
from reconcile.comparison import statements
from reconcile.comparison.findings import PolicyRow, RunRow
from reconcile.comparison.inputs import Inputs
from reconcile.comparison.sums import SideFigures, Sums, differing, sides, whole
from reconcile.report.figures import LedgerGroup

_Row = TypeVar("_Row", Sums, LedgerGroup, RunRow, PolicyRow)


class Compared(msgspec.Struct, frozen=True):
    """`groups`: the ledger, grouped; `runs`, `policies`: records whose sides differ; `differing`: buckets that were
    joined by id."""

    figures: list[SideFigures]
    groups: list[LedgerGroup]
    runs: list[RunRow]
    policies: list[PolicyRow]
    differing: int


def compare(inputs: Inputs, work: Path, log: Path, *, window_s: int, late_s: float) -> Compared:
    """Compare all sides.

    Args:
        work: gets the answers of the JVM.
        log: folder of Flink's log.
        window_s: length of the report's windows; a multiple of a minute.
        late_s: seconds after which an outcome is late.

    Raises:
        Permanent: Flink could not do it.
    """
    tables = BatchTables(work, log)
    for statement in statements.tables(inputs):
        tables.execute(statement)
    summed, grouped = tables.query(statements.sums(late_s), statements.figures(window_s))
    sums = sides(_typed(summed, Sums))
    in_runs, in_policies = differing(sums)
    runs, policies = _by_id(tables, in_runs, in_policies, late_s)
    return Compared(whole(sums), _typed(grouped, LedgerGroup), runs, policies, len(in_runs | in_policies))


def _by_id(
    tables: BatchTables, in_runs: set[int], in_policies: set[int], late_s: float
) -> tuple[list[RunRow], list[PolicyRow]]:
    wanted = []
    if in_runs:
        wanted.append(statements.by_id_of_runs(in_runs, late_s))
    if in_policies:
        wanted.append(statements.by_id_of_policies(in_policies))
    answers = tables.query(*wanted) if wanted else []
    runs = answers.pop(0) if in_runs else []
    policies = answers.pop(0) if in_policies else []
    return _typed(runs, RunRow), _typed(policies, PolicyRow)


def _typed(rows: Sequence[dict[str, Any]], shape: type[_Row]) -> list[_Row]:
    return msgspec.convert(rows, list[shape])  # type: ignore[valid-type]
