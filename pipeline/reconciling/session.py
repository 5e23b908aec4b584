"""What `sosie reconcile run` does, in order: canaries, comparison, sample, report; then repair, and all of it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from deploy.addresses import Addresses
from pipeline.jobs import run_in_chain
from pipeline.rebuilding import rebuild
from pipeline.reconciling import canary
from pipeline.reconciling.reconciliation import (
    Gathered,
    Settings,
    Span,
    gather,
    keep_report,
    report_on,
    runs_within,
    span_of,
)
from pipeline.reconciling.repair import Repaired, lost_by_chain, replay
from pipeline.reconciling.sampling import computed_again
from pipeline.reconciling.topics import Topics
from pipeline.reconciling.waiting import waiting
from pipeline.run_records import goes_on
from pipeline.spec import JobSpec
from reconcile.ledger.rows import window_of
from reconcile.ledger.runs import RunRecord, read_runs
from reconcile.report.records import Report
from reconcile.report.table import moment

_CANARY_S = 30.0
_OF_REDIS = frozenset({"index_only", "stale_in_redis", "swapped_content_id"})


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


class Answer(msgspec.Struct, frozen=True):
    """The report that holds now, its JSON file, and what was repaired before it was made."""

    report: Report
    path: Path
    repaired: Repaired | None = None


def reconcile(state: Path, where: Addresses, index_log: Path, asked: Asked, *, now: Callable[[], float]) -> Answer:
    """Reconcile, and write the report unless its last revision says the same.

    Args:
        index_log: the index's `log.sqlite`.
        now: epoch seconds.

    Raises:
        UsageError: the index has no log here.
        Retryable: Redis does not answer.
        Permanent: Flink could not compare, or a repair's job failed.
    """
    span = span_of(read_runs(state), asked.window_s, asked.begin, asked.end, now())
    told = _canaries(state, where, span, now()) if asked.canary else {}

    def once() -> tuple[Report, Path, Gathered]:
        late_s = asked.settings.objectives.late_s
        queued = waiting(state, where.redis)
        gathered = gather(
            state, where.redis, index_log, span, waiting=queued, late_s=late_s, sample=asked.sample, now=now
        )
        sample = computed_again(gathered.sampled, gathered.snapshot.runs, where)
        make = report_on(gathered, span, asked.settings, sample=sample, canaries=told, made_at=now())
        return *keep_report(state, make), gathered

    report, path, gathered = once()
    if not asked.budget or not report.discrepancies:
        return Answer(report, path)
    repaired = _repair(report, gathered, state, where, index_log, asked.budget, now())
    report, path, _ = once()
    return Answer(report, path, repaired)


def _canaries(state: Path, where: Addresses, span: Span, at: float) -> dict[str, str]:
    """One for the window of now, through each job that goes on."""
    if not span.begin <= at < span.end:
        return {}
    window = window_of(at, span.window_s)
    going_on = [run for run in runs_within(read_runs(state), span, at) if goes_on(run)]
    return {
        f"{run.job}, {moment(window)}": canary.fly(run, window, state, where.redis, _CANARY_S, time.monotonic)
        for run in going_on
    }


def _repair(
    report: Report, gathered: Gathered, state: Path, where: Addresses, index_log: Path, budget: int, at: float
) -> Repaired:
    lost, left = lost_by_chain(report.discrepancies, budget)
    with TemporaryDirectory(prefix="repair-", dir=state / "tmp") as folder:

        def again(spec: JobSpec, chain: str) -> None:
            run_in_chain(spec, state, chain)

        def topic_lines(run: RunRecord) -> Iterator[tuple[str, str, bytes]]:
            copies = Path(folder, "topics")
            copies.mkdir(exist_ok=True)
            return Topics(copies, state / "log").lines(run)

        inputs = Path(folder, "inputs")
        replayed, refused = replay(gathered.snapshot.runs, lost, inputs, again, at, topic_lines)
    written = 0
    if any(one.name in _OF_REDIS and one.policy for one in report.discrepancies):
        mended = rebuild(index_log, where.redis)
        written = mended.missing + mended.changed
    return Repaired(replayed, left, refused, written)
