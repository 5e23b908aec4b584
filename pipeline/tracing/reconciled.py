"""What reconciliation found about one material: its reports are kept, so nothing is written twice for `sosie trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from reconcile.comparison.findings import MEANING
from reconcile.report.store import read, reports_folder

_NEWEST: Final = 50
"""Reports that are looked into."""


class Finding(msgspec.Struct, frozen=True):
    """A discrepancy of one report. `made_at`: epoch seconds."""

    report: str
    revision: int
    made_at: float
    name: str
    detail: str

    @property
    def sentence(self) -> str:
        """For people."""
        detail = f" ({self.detail.rstrip('.')})" if self.detail else ""
        meaning = {str(name): meaning for name, meaning in MEANING.items()}.get(self.name, "")
        return f"Reconciliation {self.report} r{self.revision} calls it {self.name}: {meaning}{detail}."


def findings_about(state: Path, material_id: str) -> list[Finding]:
    """Of the newest reports, the newest first; of several revisions of one report the last counts."""
    paths = sorted(reports_folder(state).glob("*/r*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    needle = msgspec.json.encode(material_id)
    found: list[Finding] = []
    seen: set[str] = set()
    for path in paths[:_NEWEST]:
        if path.parent.name in seen:
            continue
        seen.add(path.parent.name)
        if needle not in path.read_bytes():
            continue
        report = read(path)
        found += [
            Finding(report.name, report.revision, report.made_at, each.name, each.detail)
            for each in report.discrepancies
            if each.material_id == material_id
        ]
    return found
