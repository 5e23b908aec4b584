"""Reconciliation of a million ledger entries, beside plain Flink SQL that joins the same sides by id.

    .venv/bin/python benchmarks/reconcile.py [--entries 1000000] [--rounds 3]

Both read the same files and find the same fifty planted discrepancies; rounds take turns, each in a fresh JVM session
of one process, and the best round of each counts. The last line is JSON: `ratio` (reconciliation's seconds over the
plain join's), `cpu_ratio` (the same of processor time), `found`, `false`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ledger_world import World
from benchmarks.planted import LATE_S, plant
from pipeline.flink.tables import BatchTables
from pipeline.reconciling.comparing import compare
from reconcile.comparison import statements
from reconcile.comparison.findings import of_policies, of_runs
from reconcile.comparison.inputs import Inputs

PLAIN = """
SELECT COALESCE(e.material_id, n.material_id, l.material_id, s.material_id, i.material_id, r.material_id) AS material_id
FROM (SELECT material_id, revision, COUNT(*) AS n FROM expected GROUP BY material_id, revision) e
FULL OUTER JOIN (SELECT material_id, revision, COUNT(*) AS n, MIN(`window`) AS w FROM ledger WHERE stage = 'entered'
    GROUP BY material_id, revision) n ON n.material_id = e.material_id AND n.revision = e.revision
FULL OUTER JOIN (SELECT material_id, revision, COUNT(*) AS n, MIN(`window`) AS w, MIN(outcome) AS outcome,
    MIN(content_id) AS content_id, MAX(`at` - entered_at) AS took, MAX(entered_at) AS entered_at
    FROM ledger WHERE stage = 'ended' GROUP BY material_id, revision) l
    ON l.material_id = e.material_id AND l.revision = e.revision
FULL OUTER JOIN (SELECT material_id, revision, COUNT(*) AS n, MIN(outcome) AS outcome, MIN(content_id) AS content_id
    FROM results GROUP BY material_id, revision) s ON s.material_id = e.material_id AND s.revision = e.revision
FULL OUTER JOIN (SELECT * FROM index_decisions WHERE latest AND live) i
    ON i.material_id = e.material_id AND i.revision = e.revision
FULL OUTER JOIN (SELECT * FROM redis_outcomes WHERE outcome IN ('unique', 'duplicate')) r
    ON r.material_id = e.material_id AND r.revision = e.revision
WHERE e.n IS NULL OR n.n IS NULL OR l.n IS NULL OR s.n IS NULL OR i.material_id IS NULL OR r.material_id IS NULL
   OR e.n <> n.n OR e.n <> l.n OR e.n <> s.n OR l.outcome <> s.outcome OR l.content_id <> s.content_id
   OR l.content_id <> i.content_id OR i.`now` <> r.`now` OR n.w <> l.w OR l.took > {late}
   OR l.w <> CAST(FLOOR(l.entered_at / 60) AS BIGINT) * 60
"""


def main() -> None:
    """Build the sides, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(mkdtemp(prefix="sosie-reconcile-"))
    try:
        world = World(options.entries // 2)
        planted = plant(world)
        inputs = world.write(folder / "in")
        del world
        print(json.dumps(_measured(inputs, planted, folder, options.entries, options.rounds)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(inputs: Inputs, planted: dict[str, str], folder: Path, entries: int, rounds: int) -> dict[str, object]:
    ours: list[tuple[float, float]] = []
    plain: list[tuple[float, float]] = []
    named: set[tuple[str, str]] = set()
    joined: set[str] = set()

    def reconcile() -> None:
        found = compare(inputs, folder, folder / "log", window_s=3600, late_s=LATE_S)
        every = [*of_runs(found.runs, lambda _row: False), *of_policies(found.policies)]
        named.update((one.material_id, one.name) for one in every)

    def join() -> None:
        tables = BatchTables(folder, folder / "log")
        for statement in statements.tables(inputs):
            tables.execute(statement)
        [rows] = tables.query(PLAIN.format(late=LATE_S))
        joined.update(row["material_id"] for row in rows)

    _timed(join)  # the JVM's start and its first compilation are nobody's
    for turn in range(rounds):
        ours.append(_timed(reconcile))
        plain.append(_timed(join))
        print(f"round {turn + 1}: reconciliation {ours[-1][0]:.1f} s, plain join {plain[-1][0]:.1f} s", flush=True)
    seconds, cpu = min(ours), min(each[1] for each in ours)
    plain_seconds, plain_cpu = min(plain), min(each[1] for each in plain)
    return {
        "entries": entries,
        "seconds": round(seconds[0], 2),
        "plain_seconds": round(plain_seconds[0], 2),
        "ratio": round(seconds[0] / plain_seconds[0], 3),
        "cpu_ratio": round(cpu / plain_cpu, 3),
        "planted": len(planted),
        "found": len(named & set(planted.items())),
        "false": len(named - set(planted.items())),
        "plain_found": len(joined & set(planted)),
    }


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of processor time of this process and its JVM."""
    began, cpu = time.monotonic(), _processor()
    work()
    return time.monotonic() - began, _processor() - cpu


def _processor() -> float:
    us = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (us, *us.children(recursive=True)))


if __name__ == "__main__":
    main()
