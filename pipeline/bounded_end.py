"""When is a run over? A job with a second, watched source does not end by itself.

Over is a run whose committed outcomes are as many as the records of its input: then the input is read, the queue
holds nothing of it, and nothing is in flight. Outcomes are counted in the ledger's files: each is there exactly once,
whatever the sink, and a file has its name when its checkpoint is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from pipeline.flink.plan import JobPlan
from pipeline.run_bounds import is_endless
from pipeline.spec import FilesSink
from reconcile.ledger.rows import rows_folder
from reconcile.retry.folders import handed

QUIET_S = 900.0
"""Without news for so long, and with nothing in the queue, a run ends and tells what is missing."""
SETTLE_S = 12.0
log = structlog.get_logger(__name__)


class CommittedCount:
    """Outcomes of a run that are committed; a file is counted once, since it never changes.

    Args:
        rows: the ledger's folder.
        run_id: names the run.
    """

    def __init__(self, rows: Path, run_id: str) -> None:
        self._rows = rows
        self._run_id = run_id
        self._counted: set[Path] = set()
        self.total = 0

    def look(self) -> int:
        """All so far."""
        for path in self._rows.glob(f"{self._run_id}*.jsonl"):
            if path not in self._counted:
                self.total += _ended(path)
                self._counted.add(path)
        return self.total


class BoundedEnd:
    """Asked again and again whether the run is over.

    Args:
        run_id: names the run.
        records: of the input.
        committed: outcomes so far.
        waiting: records of the run in the retry queue or on their way to it; None when that cannot be known now.
        folders: of all the job's file sinks.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        run_id: str,
        records: Callable[[], int | None],
        committed: CommittedCount,
        waiting: Callable[[], int | None],
        folders: Sequence[Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_id = run_id
        self._records = records
        self._committed = committed
        self._waiting = waiting
        self._folders = folders
        self._clock = clock
        self._expected = records() or 0
        self._news = clock()
        self._complete_since: float | None = None

    def reached(self) -> bool:
        """Whether nothing more will come."""
        before = self._committed.total
        if self._committed.look() >= self._expected:
            self._expected = self._records() or 0  # a file may have come in while the job had not yet listed them
            return self._committed.total >= self._expected and self._settled()
        if self._committed.total > before:
            self._news = self._clock()
            return False
        if self._clock() - self._news < QUIET_S:
            return False
        if self._waiting() != 0:
            self._news = self._clock()
            return False
        log.error("run_ended_with_records_missing", missing=self._expected - self._committed.total)
        return True

    def _settled(self) -> bool:
        """Whether the other sinks have committed too; each does so by itself, a little later or earlier.

        What a killed worker left uncommitted stays there for ever, so this waits for two checkpoints at most. And it
        waits at least one look: a job that is stopped in the moment in which its first source ends fails instead.
        """
        now = self._clock()
        if self._complete_since is None:
            self._complete_since = now
            return False
        if now - self._complete_since > SETTLE_S:
            return True
        return not any(any(folder.glob(f".{self._run_id}*.inprogress*")) for folder in self._folders)


def end_of(plan: JobPlan, records: Callable[[], int | None], waiting: Callable[[], int | None]) -> Callable[[], bool]:
    """Whether a run is over; an endless source never is, and a batch job ends by itself."""
    spec, state = plan.spec, Path(plan.state)
    if spec.mode == "batch" or is_endless(spec.source):
        return lambda: False
    rows = rows_folder(state)
    sinks = [rows, handed(state)]
    if isinstance(spec.sink, FilesSink):
        sinks += [spec.sink.path / "results", spec.sink.path / "dead"]
    return BoundedEnd(plan.run_id, records, CommittedCount(rows, plan.run_id), waiting, sinks).reached


class _Row(msgspec.Struct, frozen=True):
    """All that is asked of a ledger's row here."""

    stage: str


_row = msgspec.json.Decoder(_Row)


def _ended(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip() and _row.decode(line).stage == "ended")
