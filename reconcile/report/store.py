"""Reports on disk: `STATE/reports/NAME/rN.json|csv|html`. A report never changes: what comes in late makes r(N+1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from materials.errors import UsageError
from reconcile.report.page import page
from reconcile.report.records import Report, body
from reconcile.report.table import table

_READ_ONLY = 0o444


def reports_folder(state: Path) -> Path:
    """Where the reports of a system lie."""
    return state / "reports"


def keep(folder: Path, make: Callable[[int], Report]) -> tuple[Report, Path]:
    """Write a report, unless its last revision says the same.

    Args:
        make: the report, given its revision.

    Returns:
        The report that holds now, and its JSON file.
    """
    report = make(1)
    latest = last_revision(folder, report.name)
    if latest:
        path = _path(folder, report.name, latest)
        before = read(path)
        if _told(before) == _told(report):
            return before, path
        report = make(latest + 1)
    path = _path(folder, report.name, report.revision)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path.with_suffix(".csv"), table(report).encode())
    _write(path.with_suffix(".html"), page(report).encode())
    _write(path, msgspec.json.format(msgspec.json.encode(report), indent=2))
    return report, path


def last_revision(folder: Path, name: str) -> int:
    """The newest revision of a report, 0 where there is none."""
    found = [int(path.stem[1:]) for path in (folder / name).glob("r*.json") if path.stem[1:].isdecimal()]
    return max(found, default=0)


def find(folder: Path, name: str = "", revision: int = 0) -> Path:
    """The JSON file of a report; by default the newest one.

    Raises:
        UsageError: there is none.
    """
    if name:
        path = _path(folder, name, revision or last_revision(folder, name))
        if path.is_file():
            return path
        known = ", ".join(sorted(each.name for each in folder.iterdir())[-3:]) if folder.is_dir() else ""
        raise UsageError(f"there is no report {name}", f"known: {known}" if known else "make one: sosie reconcile run")
    found = sorted(folder.glob("*/r*.json"), key=lambda path: (path.stat().st_mtime, path.name))
    if not found:
        raise UsageError(f"there is no report in {folder}", "make one: sosie reconcile run")
    return found[-1]


def read(path: Path) -> Report:
    """A report from its file."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def _told(report: Report) -> bytes:
    return msgspec.json.encode(body(report), order="sorted")


def _path(folder: Path, name: str, revision: int) -> Path:
    return folder / name / f"r{revision}.json"


def _write(path: Path, content: bytes) -> None:
    """A new file, whole or not at all, that nobody may write to again."""
    unfinished = path.with_suffix(path.suffix + ".tmp")
    unfinished.unlink(missing_ok=True)
    unfinished.write_bytes(content)
    unfinished.chmod(_READ_ONLY)
    os.link(unfinished, path)  # refuses an existing name, which a rename would not
    unfinished.unlink()
