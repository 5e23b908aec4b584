"""One reconciliation, from the runs of a ledger to a report that is kept."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from pipeline.reconciling.comparing import Compared, compare
from pipeline.reconciling.sampling import Answered, pick
from pipeline.reconciling.second_look import look_again
from pipeline.reconciling.snapshot import Snapshot, take
from pipeline.run_records import goes_on, may_come_back
from reconcile.comparison.findings import Discrepancy, RunRow, of_policies, of_runs
from reconcile.comparison.statements import BUCKETS
from reconcile.ledger.rows import window_of
from reconcile.ledger.runs import RunRecord, read_runs
from reconcile.report import figures
from reconcile.report.objectives import Objectives, judged
from reconcile.report.records import Report, Sampled
from reconcile.report.store import keep, reports_folder

DAY_S = 86_400


class Span(msgspec.Struct, frozen=True):
    """What is reported: epoch seconds from `begin` to before `end`, in windows of `window_s`."""

    begin: int
    end: int
    window_s: int

    @property
    def name(self) -> str:
        """`20260101T120000Z-20260101T140000Z-1h`."""
        length = f"{self.window_s // 3600}h" if self.window_s % 3600 == 0 else f"{self.window_s // 60}m"
        return f"{_stamp(self.begin)}-{_stamp(self.end)}-{length}"

    def holds(self, window: int | None) -> bool:
        """Whether a window is reported; one that nobody knows is."""
        return window is None or self.begin <= window < self.end


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`settle_s`: how long a record may be under way in a job that goes on before it counts as lost; `objectives`:
    what is promised."""

    settle_s: float = 60.0
    objectives: Objectives = Objectives()


class Gathered(msgspec.Struct, frozen=True):
    """What the comparison said, and of which runs. `running`, `paused`: chains whose job goes on, or was stopped with a
    savepoint; `waiting`: (material_id, revision) of the records in the retry queue."""

    snapshot: Snapshot
    compared: Compared
    running: frozenset[str]
    paused: frozenset[str]
    waiting: frozenset[tuple[str, int]]
    taken_at: float
    sampled: tuple[Answered, ...] = ()


def span_of(runs: Sequence[RunRecord], window_s: int, begin: float | None, end: float | None, now: float) -> Span:
    """What to report: by default the windows since the first run of the last 24 hours."""
    first = min((run.started_at for run in runs if (run.ended_at or now) >= now - DAY_S), default=now)
    start = window_of(max(first, now - DAY_S) if begin is None else begin, window_s)
    stop = math.ceil((now if end is None else end) / window_s) * window_s
    return Span(start, max(stop, start + window_s), window_s)


def runs_within(runs: Sequence[RunRecord], span: Span, now: float) -> list[RunRecord]:
    """The runs whose chains were at work in a time, whole chains."""
    chains = {run.chain for run in runs if run.started_at < span.end and (run.ended_at or now) >= span.begin}
    return [run for run in runs if run.chain in chains]


def gather(
    state: Path,
    redis_url: str,
    index_log: Path,
    span: Span,
    *,
    waiting: Collection[tuple[str, int]] = (),
    late_s: float,
    sample: int = 0,
    now: Callable[[], float] = time.time,
) -> Gathered:
    """Take a snapshot and compare.

    Args:
        waiting: (material_id, revision) of the records in the retry queue.
        sample: how many outcomes to pick for computing them again.

    Raises:
        UsageError: the index has no log here.
        Retryable: Redis does not answer.
        Permanent: Flink could not compare.
    """
    taken_at = now()
    runs = runs_within(read_runs(state), span, taken_at)
    running = frozenset(run.chain for run in runs if goes_on(run))
    paused = frozenset(run.chain for run in runs if not run.ended_at and may_come_back(state, run.run_id))
    (state / "tmp").mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="reconcile-", dir=state / "tmp") as folder:
        work = Path(folder)
        snapshot = take(work, state, runs, redis_url, index_log, (span.begin, span.end), now)
        sampled = pick(snapshot.inputs.results, sample, span.name)
        compared = compare(snapshot.inputs, work, state / "log", window_s=span.window_s, late_s=late_s)
    if compared.policies:
        again = look_again(compared.policies, redis_url, index_log)
        compared = msgspec.structs.replace(compared, policies=again)
    return Gathered(snapshot, compared, running, paused - running, frozenset(waiting), taken_at, sampled)


def in_flight(gathered: Gathered, settle_s: float) -> Callable[[RunRow], int]:
    """How many of a record's missing outcomes may still come: it waits in the retry queue or in a savepoint, or its
    job goes on and it came in a moment ago, or was not read so far."""

    def count(row: RunRow) -> int:
        missing = max(0, row.expected - max(row.results, row.ended))
        if not missing or (row.material_id, row.revision) in gathered.waiting:
            return missing
        if row.chain in gathered.paused:
            return missing
        if row.chain not in gathered.running:
            return 0
        if row.entered + row.repaired < row.expected:
            bounded = not next((run.watch for run in gathered.snapshot.runs if run.chain == row.chain), True)
            return missing if bounded or (row.file_at or 0.0) > gathered.taken_at - settle_s else 0
        return missing if (row.entered_at or 0.0) > gathered.taken_at - settle_s else 0

    return count


def report_on(
    gathered: Gathered,
    span: Span,
    settings: Settings,
    *,
    sample: Sequence[Sampled] = (),
    canaries: dict[str, str] | None = None,
    made_at: float,
) -> Callable[[int], Report]:
    """The report, given its revision."""
    compared = gathered.compared
    may_come = in_flight(gathered, settings.settle_s)
    started = {run.chain: run.started_at for run in gathered.snapshot.runs if run.begins}

    def place(row: RunRow) -> int:
        known = row.window if row.window is not None else max(row.file_at or 0.0, started.get(row.chain, 0.0))
        return window_of(known, span.window_s)

    groups = [group for group in compared.groups if span.holds(group.window)]
    rows = [row for row in compared.runs if span.holds(place(row))]
    found = [_placed(one, place, row) for row in rows for one in of_runs([row], lambda r: bool(may_come(r)))]
    found += [one for one in of_policies(compared.policies) if span.holds(one.window)]
    found = _one_name_each(found)
    # of all rows: a repair may have ended in the span what entered before it, or after it what entered in it
    counted = figures.by_window(groups, compared.runs, may_come, place, lambda at: window_of(at, span.window_s))
    windows = [window for window in counted if span.holds(window.start)]
    totals = figures.totals(windows, groups, Counter(one.name for one in found)["doubled"])
    canaries = canaries or {}
    uncounted = gathered.snapshot.uncounted
    verdicts = judged(settings.objectives, totals, found, sample, canaries, uncounted)

    def make(revision: int) -> Report:
        return Report(
            name=span.name,
            revision=revision,
            made_at=made_at,
            begin=span.begin,
            end=span.end,
            window_s=span.window_s,
            runs=[run.run_id for run in gathered.snapshot.runs],
            totals=totals,
            windows=windows,
            plugins=figures.plugins(groups),
            causes=figures.causes(groups),
            redirects=gathered.snapshot.merged,
            figures=compared.figures,
            buckets=BUCKETS,
            differing_buckets=compared.differing,
            discrepancies=found,
            sample=list(sample),
            canaries=canaries,
            uncounted=uncounted,
            objectives=verdicts,
        )

    return make


def keep_report(state: Path, make: Callable[[int], Report]) -> tuple[Report, Path]:
    """Write the report, unless its last revision says the same."""
    return keep(reports_folder(state), make)


def _placed(one: Discrepancy, place: Callable[[RunRow], int], row: RunRow) -> Discrepancy:
    return one if one.window is not None else msgspec.structs.replace(one, window=place(row))


def _one_name_each(found: Sequence[Discrepancy]) -> list[Discrepancy]:
    """Sorted; a content ID that was swapped on one side differs from more than one other side: told once."""
    told: dict[tuple[str, str, int], Discrepancy] = {}
    for one in found:
        told.setdefault((one.name, one.material_id, one.revision), one)
    return sorted(told.values(), key=lambda one: (one.name, one.window or 0, one.material_id, one.revision))


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
