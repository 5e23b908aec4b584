"""The sides at one moment, as files: ledger and results first, then Redis, then the index, then the source.

Against the way of a record, so that whatever a later side lacks was never there. A job may commit meanwhile: ledger and
results are taken at a moment in which neither changes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from materials.errors import SosieError
from pipeline.reconciling.source import Uncountable, expected, files_of
from pipeline.reconciling.stores import IndexLog, shown
from pipeline.reconciling.topics import Topics, is_kafka
from reconcile.comparison.inputs import ExpectedLine, Inputs, ResultFiles, write_lines
from reconcile.ledger.rows import rows_folder
from reconcile.ledger.runs import RunRecord

_QUIET_S = 0.3
_TRIES = 20


class Snapshot(msgspec.Struct, frozen=True):
    """`uncounted`: runs that are left out, and why. `merged`: redirects minted in the range."""

    inputs: Inputs
    runs: list[RunRecord]
    uncounted: dict[str, str]
    merged: int


def take(
    work: Path,
    state: Path,
    runs: Sequence[RunRecord],
    redis_url: str,
    index_log: Path,
    span: tuple[float, float],
    now: Callable[[], float] = time.time,
) -> Snapshot:
    """Write the sides of some runs into a folder.

    Args:
        work: an empty folder.
        span: begin and end of the report, epoch seconds.

    Raises:
        UsageError: the index has no log here.
        Retryable: Redis does not answer.
    """
    uncounted: dict[str, str] = {}
    sources: dict[str, list[Path]] = {}
    for run in runs:
        if run.begins:
            try:
                sources[run.chain] = [] if is_kafka(run.source) else files_of(run, now())
            except Uncountable as error:
                uncounted[run.run_id] = str(error)
    counted = [run for run in runs if run.chain in sources]
    on_kafka = any(is_kafka(part) for run in counted for part in (run.source, run.sink))
    topics = Topics(work, state / "log") if on_kafka else None
    results = _link_all(work, rows_folder(state), counted)
    unread: dict[str, str] = {}  # by chain: one run of it that cannot be read leaves all of it in the dark
    for run, files in zip(counted, results, strict=True):
        if topics is not None and is_kafka(run.sink) and run.chain not in unread:
            try:
                topics.write_results(run, files.folder / f"{run.run_id}-0.jsonl")
            except SosieError as error:
                unread[run.chain] = f"its results cannot be read: {error}"
    # Redis names content IDs as minted: they are read after it, with the redirects of then.
    with IndexLog(index_log) as before:
        write_lines(work / "redis.json", shown(redis_url, before))
    with IndexLog(index_log) as log:
        write_lines(work / "index.json", log.decisions())
        merged = log.merged(*span)
    # what appeared since is read too: a record whose file is newer than its run counts as under way

    def lines() -> Iterator[ExpectedLine]:
        for run in counted:
            if run.chain in unread:
                continue
            if run.begins and topics is not None and is_kafka(run.source):
                try:
                    yield from topics.expected(run)
                except SosieError as error:
                    unread[run.chain] = f"its source cannot be read: {error}"
            elif run.begins:
                yield from expected(run, sources[run.chain])

    write_lines(work / "expected.json", lines())
    uncounted |= {run.run_id: unread[run.chain] for run in counted if run.begins and run.chain in unread}
    results = tuple(files for run, files in zip(counted, results, strict=True) if run.chain not in unread)
    counted = [run for run in counted if run.chain not in unread]
    inputs = Inputs(
        expected=work / "expected.json",
        index=work / "index.json",
        redis=work / "redis.json",
        ledger=work / "ledger",
        runs=tuple(run.run_id for run in counted),
        results=results,
    )
    return Snapshot(inputs, counted, uncounted, merged)


def _link_all(work: Path, rows: Path, runs: Sequence[RunRecord]) -> tuple[ResultFiles, ...]:
    """Ledger and results of runs, all of one moment."""
    before = _listed(rows, runs)
    for _ in range(_TRIES):
        time.sleep(_QUIET_S)
        after = _listed(rows, runs)
        if after == before:
            break
        before = after
    (work / "ledger").mkdir(parents=True)
    made = []
    for i, run in enumerate(runs):
        folder = work / f"results_{i}"
        folder.mkdir()
        ledger, results = before[run.run_id]
        for path in ledger:
            _link(path, work / "ledger" / path.name)
        for path in results:
            _link(path, folder / path.name)
        made.append(ResultFiles(run.chain, run.policy, folder, run.run_id))
    return tuple(made)


def _listed(rows: Path, runs: Sequence[RunRecord]) -> dict[str, tuple[list[Path], list[Path]]]:
    found = {}
    for run in runs:
        ledger = sorted(rows.glob(f"{run.run_id}-*.jsonl"))
        folder = Path(str(run.sink.get("path", ""))) / "results"
        found[run.run_id] = (ledger, sorted(folder.glob(f"{run.run_id}-*.jsonl")))
    return found


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
