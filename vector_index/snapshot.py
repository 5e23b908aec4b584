"""Snapshots of the spaces: a short cut at start, never the truth. What a snapshot lacks comes from the log.

A folder `NNN` (the log's sequence, twelve digits) holds a folder for each space and `manifest.json` with the size and
SHA-256 of every file. Segments that lie on the disk already are hard-linked, so that a snapshot costs what is new. It
is written beside its place, synced and renamed, so that there are only whole ones; a damaged one is told by its sums,
and the one before it is taken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import structlog

from vector_index.crash_points import reached
from vector_index.recall import Elsewhere, Spaces, here
from vector_index.segments.files import FileSum, SegmentError, checksum, sync
from vector_index.segments.settings import SegmentSettings
from vector_index.spaces.protocol import Frozen

FORMAT = 2
KEPT = 2
MANIFEST = "manifest.json"
CHECKERS = 2
"""Threads that read and sum files; hashing releases the interpreter's lock."""

logger = structlog.get_logger(__name__)


class SavedSpace(msgspec.Struct, frozen=True):
    """One space's folder and its files, by their path inside it."""

    key: str
    schema: str
    folder: str
    files: dict[str, FileSum]


class Manifest(msgspec.Struct, frozen=True):
    """A snapshot's content. `sequence`: the log's last transaction that it holds."""

    format: int
    sequence: int
    spaces: tuple[SavedSpace, ...]


class SnapshotError(Exception):
    """A snapshot cannot be used; why."""


def freeze(spaces: Spaces) -> list[tuple[str, Frozen]]:
    """What the spaces hold now, to be saved later. Under the lock that keeps writers out; short."""
    return [(key, space.frozen()) for key, space in spaces.items()]


def save(folder: Path, frozen: Sequence[tuple[str, Frozen]], schemas: Mapping[str, str], sequence: int) -> Path:
    """Write a snapshot and drop all but the newest `KEPT`. Needs no lock: writers may go on.

    Args:
        folder: where snapshots lie; made when missing.
        schemas: by feature key.

    Raises:
        OSError: the disk refuses; earlier snapshots are untouched.
    """
    reached("snapshot-begin")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{sequence:012d}.tmp"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        saved = []
        for number, (key, one) in enumerate(frozen):
            path = unfinished / f"{number:03d}"
            path.mkdir()
            known = one.save(path)
            reached("snapshot-space")
            files = {name: known[name] if name in known else checksum(path / name) for name in files_in(path)}
            saved.append(SavedSpace(key, schemas[key], path.name, files))
    finally:
        for _, one in frozen:
            one.close()
    manifest = unfinished / MANIFEST
    manifest.write_bytes(msgspec.json.encode(Manifest(FORMAT, sequence, tuple(saved))))
    sync(manifest)
    sync(unfinished)
    final = folder / f"{sequence:012d}"
    reached("snapshot-rename")
    shutil.rmtree(final, ignore_errors=True)
    unfinished.rename(final)
    sync(folder)
    reached("snapshot-drop")
    for old in all_in(folder)[KEPT:]:
        shutil.rmtree(old)
    return final


def files_in(folder: Path) -> list[str]:
    """Every file below a folder, by its path inside it, in order."""
    found = [Path(root, name) for root, _, names in os.walk(folder) for name in names]
    return sorted(str(path.relative_to(folder)) for path in found)


def all_in(folder: Path) -> list[Path]:
    """Snapshots, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit()), reverse=True)


def read_manifest(path: Path) -> Manifest:
    """What a snapshot says of itself.

    Raises:
        SnapshotError: missing, unreadable, or of another format.
    """
    try:
        content = (path / MANIFEST).read_bytes()
        found = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get("format", msgspec.Raw(b"0"))
        if bytes(found) != str(FORMAT).encode():
            raise SnapshotError(f"format {bytes(found).decode()}, and this version reads {FORMAT}")
        return msgspec.json.decode(content, type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{MANIFEST}: {error}") from error


def damages(path: Path, manifest: Manifest) -> list[str]:
    """Every file that is missing or is not what was written, a line each; reads every byte."""
    entries = [(space, name, expected) for space in manifest.spaces for name, expected in space.files.items()]

    def look(entry: tuple[SavedSpace, str, FileSum]) -> str:
        space, name, expected = entry
        try:
            found = checksum(path / space.folder / name)
        except OSError as error:
            return f"{space.folder}/{name} ({space.key}): {error.strerror}"
        if found.size != expected.size:
            return f"{space.folder}/{name} ({space.key}) has {found.size} bytes and should have {expected.size}"
        return "" if found == expected else f"{space.folder}/{name} ({space.key}) does not match its checksum"

    with ThreadPoolExecutor(CHECKERS) as pool:
        return [line for line in pool.map(look, entries) if line]


def load(
    path: Path, elsewhere: Elsewhere = here, home: Path | None = None, settings: SegmentSettings | None = None
) -> tuple[Spaces, int]:
    """The spaces of one snapshot and its sequence. Every byte is checked.

    Args:
        home: where the spaces' segments are linked to; a temporary folder without it.

    Raises:
        SnapshotError: a file is missing, damaged or of another format.
        Retryable: a recall engine that holds a space does not answer.
    """
    manifest = read_manifest(path)
    broken = damages(path, manifest)
    if broken:
        raise SnapshotError("; ".join(broken[:3]))
    spaces = Spaces(elsewhere, home, settings)
    try:
        for entry in manifest.spaces:
            space = spaces.open(entry.key, entry.schema)
            if space is None:
                raise SnapshotError(f"no space for schema {entry.schema!r}")
            space.load(path / entry.folder)
    except (OSError, RuntimeError, ValueError, SegmentError) as error:
        spaces.close()
        raise SnapshotError(str(error)) from error
    return spaces, manifest.sequence


def load_newest(
    folder: Path,
    limit: int,
    elsewhere: Elsewhere = here,
    home: Path | None = None,
    settings: SegmentSettings | None = None,
) -> tuple[Spaces, int]:
    """The newest sound snapshot not above the log's sequence `limit`; empty spaces and 0 where there is none."""
    for path in all_in(folder):
        try:
            if int(path.name) > limit:
                raise SnapshotError(f"it holds transaction {int(path.name)} and the log ends at {limit}")
            return load(path, elsewhere, home, settings)
        except SnapshotError as error:
            logger.warning("snapshot passed over", path=str(path), reason=str(error))
    return Spaces(elsewhere, home, settings), 0
