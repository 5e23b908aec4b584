"""Flink finds and names each planted discrepancy, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.ledger_world import BEGIN, RUN, World
from benchmarks.planted import COUNTS, LATE_S, plant
from pipeline.reconciling.comparing import Compared, compare
from pipeline.reconciling.reconciliation import Gathered, Settings, Span, report_on
from pipeline.reconciling.snapshot import Snapshot
from reconcile.comparison.inputs import Inputs, ResultFiles
from reconcile.ledger.runs import RunRecord
from reconcile.report.records import Report

pytestmark = pytest.mark.timeout(900)  # a JVM's start on a busy machine
SPAN = Span(int(BEGIN), int(BEGIN) + 4 * 3600, 3600)
N = 3000


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[World, dict[str, str], Compared]]:
    """A world that agrees and two with planted faults, the last one among other runs; compared in a process of its
    own: a JVM holds on to its own."""
    worlds, folders = {"well": World(N), "planted": World(N, seed=5), "many": World(N, seed=6)}, {}
    planted = {"well": {}} | {name: plant(worlds[name]) for name in ("planted", "many")}
    for name, world in worlds.items():
        folders[name] = tmp_path_factory.mktemp(name)
        inputs = world.write(folders[name] / "in")
        if name == "many":
            inputs = msgspec.structs.replace(inputs, results=(*siblings(inputs), *inputs.results))
        (folders[name] / "inputs.json").write_bytes(msgspec.json.encode(inputs, enc_hook=str))
    command = [sys.executable, __file__, *map(str, folders.values())]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = {
        name: msgspec.json.decode((folder / "compared.json").read_bytes(), type=Compared)
        for name, folder in folders.items()
    }
    return {name: (worlds[name], planted[name], answers[name]) for name in worlds}


def siblings(inputs: Inputs) -> list[ResultFiles]:
    """Nine other runs beside the one there is: too many for a source of each, so that one table reads all folders."""
    [own] = inputs.results
    folders = [own.folder.with_name(f"{own.folder.name}-{number}") for number in range(9)]
    for folder in folders:
        folder.mkdir()
    # what lies beside the runs and is none of theirs must not be read
    stranger = own.folder.with_name(f"{own.folder.name}-stranger")
    shutil.copytree(own.folder, stranger)
    return [ResultFiles(f"other-{number}", own.policy, folder, own.prefix) for number, folder in enumerate(folders)]


def report_of(compared: Compared) -> Report:
    run = RunRecord(
        run_id=RUN, chain=RUN, job="made-up", policy="feed", source={}, sink={}, started_at=BEGIN, ended_at=BEGIN + 7300
    )
    nothing = Path()
    snapshot = Snapshot(Inputs(nothing, nothing, nothing, nothing, (RUN,), ()), [run], {}, 0)
    gathered = Gathered(snapshot, compared, frozenset(), frozenset(), frozenset(), BEGIN + 9000)
    return report_on(gathered, SPAN, Settings(), made_at=BEGIN + 9000)(1)


def test_a_system_that_agrees_has_a_clean_report(compared: Any) -> None:
    report = report_of(compared["well"][2])
    assert report.met
    assert (report.totals.expected, report.totals.terminal, report.totals.gap) == (N, N, 0)
    assert report.totals.completeness == 1.0
    assert report.differing_buckets == 0
    assert sum(window.expected for window in report.windows) == N
    assert {figure.n for figure in report.figures} == {N}
    took = report.totals.timeliness
    assert took.p50_s == pytest.approx(0.223, rel=0.05)
    assert took.p50_s < (took.p99_s or 0.0) < (took.max_s or 0.0)


@pytest.mark.parametrize("name", ["planted", "many"])
def test_each_of_fifty_is_found_and_named_and_nothing_else(compared: Any, name: str) -> None:
    _, planted, answer = compared[name]
    assert len(planted) == sum(COUNTS.values()) == 50
    report = report_of(answer)
    found = {(one.material_id, one.name) for one in report.discrepancies}
    assert found == set(planted.items())
    assert len(report.discrepancies) == 50
    assert not report.met
    assert report.totals.gap == COUNTS["lost"]
    assert report.totals.doubled == COUNTS["doubled"]
    assert report.totals.completeness == pytest.approx((N - COUNTS["lost"]) / N)
    assert 0 < report.differing_buckets <= 50 + COUNTS["redis_only"]


if __name__ == "__main__":
    for work in map(Path, sys.argv[1:]):
        given = msgspec.json.decode((work / "inputs.json").read_bytes(), type=Inputs, dec_hook=lambda t, v: t(v))
        found = compare(given, work, work / "log", window_s=3600, late_s=LATE_S)
        (work / "compared.json").write_bytes(msgspec.json.encode(found))
