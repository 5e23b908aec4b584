"""`sosie trace` tells what reconciliation's reports say of a material."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.tracing.reconciled import findings_about
from reconcile.comparison.findings import Discrepancy
from reconcile.report import figures
from reconcile.report.records import Report
from reconcile.report.store import reports_folder


def report(name: str, revision: int, *discrepancies: Discrepancy) -> Report:
    return Report(
        name=name, revision=revision, made_at=float(revision), begin=0, end=60, window_s=60, runs=[], windows=[],
        totals=figures.totals([], [], 0), plugins=[], causes=[], redirects=0, figures=[], buckets=1,
        differing_buckets=0, discrepancies=list(discrepancies), sample=[], canaries={}, uncounted={}, objectives=[],
    )  # fmt: skip


def write(state: Path, made: Report, at: float) -> None:
    path = reports_folder(state) / made.name / f"r{made.revision}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2))
    os.utime(path, (at, at))


def lost(material_id: str) -> Discrepancy:
    return Discrepancy(name="lost", material_id=material_id, revision=0, detail="1 of 1 is missing")


def test_the_last_revision_of_each_report_counts(tmp_path: Path) -> None:
    assert findings_about(tmp_path, "P1") == []
    write(tmp_path, report("monday", 1, lost("P1"), lost("P10")), 100)
    write(tmp_path, report("tuesday", 1, lost("P1"), lost("P2")), 200)
    write(tmp_path, report("tuesday", 2, lost("P2")), 300)
    [found] = findings_about(tmp_path, "P1")
    assert (found.report, found.revision, found.name) == ("monday", 1, "lost")
    assert found.sentence == (
        "Reconciliation monday r1 calls it lost: it stands in the source and has no outcome (1 of 1 is missing)."
    )
    assert [each.report for each in findings_about(tmp_path, "P2")] == ["tuesday"]
    assert findings_about(tmp_path, "P3") == []
