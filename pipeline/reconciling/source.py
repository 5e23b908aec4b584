"""What should have come in: the source itself, read again. The job is never asked what it read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from materials.errors import Rejected
from materials.parsing import parse_line, readable_id
from pipeline.runs import source_files
from pipeline.spec import FilesSource
from reconcile.comparison.inputs import ExpectedLine
from reconcile.ledger.rows import NO_KIND
from reconcile.ledger.runs import RunRecord

_STOP_S = 5.0
"""A file that appeared so shortly before a watching run was stopped may never have been seen by it."""


class Uncountable(Exception):
    """The source of a run is not there any more, or not as it was: why."""


def files_of(run: RunRecord, now: float) -> list[Path]:
    """The files that a run had to read.

    Raises:
        Uncountable: the source is gone, or was changed after a bounded run had ended.
    """
    source = FilesSource.model_validate(run.source)
    if not source.path.exists():
        raise Uncountable(f"its source {source.path} is gone")
    files = source_files(source)
    if run.watch:
        until = run.ended_at - _STOP_S if run.ended_at else now
        return [path for path in files if path.stat().st_mtime <= until]
    changed = [path for path in files if path.stat().st_mtime > (run.ended_at or now)]
    if changed:
        raise Uncountable(f"{changed[0]} was changed after the run had ended")
    return [path for path in files if path.stat().st_mtime <= run.started_at]


def source_folder_files(run: RunRecord) -> list[Path]:
    """The files of a run's source as they are now; none where it has no files."""
    if run.source.get("kind") != "files":
        return []
    source = FilesSource.model_validate(run.source)
    return source_files(source) if source.path.exists() else []


def root_of(run: RunRecord) -> Path:
    """The folder that names in the ledger are relative to."""
    path = Path(str(run.source["path"]))
    return path if path.is_dir() else path.parent


def expected(run: RunRecord, files: list[Path]) -> Iterator[ExpectedLine]:
    """Every record of the files, named as the job names it."""
    root = root_of(run)
    for path in files:
        name, written = path.relative_to(root).as_posix(), path.stat().st_mtime
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.rstrip(b"\r\n")
                if line.strip():
                    kind, material_id, revision = identity(line, f"{name}:{number}")
                    yield ExpectedLine(run.chain, kind, material_id, revision, name, written)


def identity(line: bytes, where: str) -> tuple[str, str, int]:
    """Kind, id and revision under which the job writes a line's outcome."""
    try:
        material = parse_line(line, "")
    except Rejected:
        known = readable_id(line)
        return NO_KIND, f"@{where}" if known is None else known, 0
    return material.kind, material.material_id, material.revision
