"""What `sosie reconcile run` does, in order: canaries, comparison, sample, report; then repair, and all of it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.addresses import Addresses
from pipeline.reconciling.reconciliation import Settings, gather, keep_report, report_on, span_of
from reconcile.ledger.runs import read_runs
from reconcile.report.records import Report


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """`begin`, `end`: epoch seconds, None for the default; `sample`: materials to compute again; `budget`: records that
    a repair may replay, 0 for no repair."""

    window_s: int
    begin: float | None = None
    end: float | None = None
    settings: Settings = Settings()
    sample: int = 0
    canary: bool = False
    budget: int = 0


def reconcile(
    state: Path, where: Addresses, index_log: Path, asked: Asked, *, now: Callable[[], float]
) -> tuple[Report, Path]:
    """Reconcile, and write the report unless its last revision says the same.

    Args:
        index_log: the index's `log.sqlite`.
        now: epoch seconds.

    Returns:
        The report that holds now, and its JSON file.

    Raises:
        UsageError: the index has no log here.
        Retryable: Redis does not answer.
        Permanent: Flink could not compare.
    """
    span = span_of(read_runs(state), asked.window_s, asked.begin, asked.end, now())
    gathered = gather(state, where.redis, index_log, span, late_s=asked.settings.objectives.late_s, now=now)
    return keep_report(state, report_on(gathered, span, asked.settings, made_at=now()))
