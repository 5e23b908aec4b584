"""Snapshots of the spaces: a short cut at start, never the truth. What a snapshot lacks comes from the log.

A folder `NNN` (the log's sequence, twelve digits) holds one file a space and `manifest.json` with their sizes and
checksums. It is written beside its place, synced and renamed, so that there are only whole ones; a damaged one is
told by its checksums, and the one before it is taken.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from vector_index.crash_points import reached
from vector_index.recall import Elsewhere, Spaces, here
from vector_index.spaces.factory import make_space
from vector_index.spaces.protocol import Space

FORMAT = 1
KEPT = 2
MANIFEST = "manifest.json"
CHUNK = 1 << 20

logger = structlog.get_logger(__name__)


class SavedSpace(msgspec.Struct, frozen=True):
    """One space's file."""

    key: str
    schema: str
    file: str
    size: int
    blake2b: str


class Manifest(msgspec.Struct, frozen=True):
    """A snapshot's content. `sequence`: the log's last transaction that it holds."""

    format: int
    sequence: int
    spaces: tuple[SavedSpace, ...]


class SnapshotError(Exception):
    """A snapshot cannot be used; why."""


def _checksum(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(folder: Path, spaces: Iterable[tuple[str, Space]], schemas: Mapping[str, str], sequence: int) -> Path:
    """Write a snapshot and drop all but the newest `KEPT`.

    Args:
        folder: where snapshots lie; made when missing.
        schemas: by feature key.

    Raises:
        OSError: the disk refuses; earlier snapshots are untouched.
    """
    reached("snapshot-begin")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{sequence:012d}.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    saved = []
    for number, (key, space) in enumerate(spaces):
        path = unfinished / f"{number:03d}.space"
        space.save(path)
        _sync(path)
        reached("snapshot-space")
        saved.append(SavedSpace(key, schemas[key], path.name, path.stat().st_size, _checksum(path)))
    manifest = unfinished / MANIFEST
    manifest.write_bytes(msgspec.json.encode(Manifest(FORMAT, sequence, tuple(saved))))
    _sync(manifest)
    _sync(unfinished)
    final = folder / f"{sequence:012d}"
    reached("snapshot-rename")
    shutil.rmtree(final, ignore_errors=True)
    unfinished.rename(final)
    _sync(folder)
    reached("snapshot-drop")
    for old in _all(folder)[KEPT:]:
        shutil.rmtree(old)
    return final


def _all(folder: Path) -> list[Path]:
    """Newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit()), reverse=True)


def load(path: Path, elsewhere: Elsewhere = here) -> tuple[Spaces, int]:
    """The spaces of one snapshot and its sequence.

    Raises:
        SnapshotError: a file is missing, damaged or of another format.
        Retryable: a recall engine that holds a space does not answer.
    """
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
        if manifest.format != FORMAT:
            raise SnapshotError(f"format {manifest.format}, and this version reads {FORMAT}")
        loaded = {entry.key: _load_space(path / entry.file, entry, elsewhere) for entry in manifest.spaces}
    except (OSError, msgspec.DecodeError, RuntimeError, ValueError) as error:
        raise SnapshotError(str(error)) from error
    return Spaces(held=loaded, elsewhere=elsewhere), manifest.sequence


def _load_space(path: Path, entry: SavedSpace, elsewhere: Elsewhere) -> Space:
    if path.stat().st_size != entry.size or _checksum(path) != entry.blake2b:
        raise SnapshotError(f"{entry.file} ({entry.key}) does not match its checksum")
    space = elsewhere(entry.key, entry.schema)
    if space is None:
        space = make_space(entry.schema)
    if space is None:
        raise SnapshotError(f"no space for schema {entry.schema!r}")
    space.load(path)
    return space


def load_newest(folder: Path, limit: int, elsewhere: Elsewhere = here) -> tuple[Spaces, int]:
    """The newest sound snapshot not above the log's sequence `limit`; empty spaces and 0 where there is none."""
    for path in _all(folder):
        try:
            spaces, sequence = load(path, elsewhere)
            if sequence > limit:
                raise SnapshotError(f"it holds transaction {sequence} and the log ends at {limit}")
        except SnapshotError as error:
            logger.warning("snapshot passed over", path=str(path), reason=str(error))
            continue
        return spaces, sequence
    return Spaces(elsewhere=elsewhere), 0
