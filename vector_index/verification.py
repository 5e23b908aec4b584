"""Reading everything again: the log, every checksum of every snapshot, and the stored vectors against the log.

Nothing is changed, and a service may run on the folder meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, UsageError
from materials.records import Feature
from vector_index import snapshot
from vector_index.evidence_cache import StoredEvidence
from vector_index.segments.arrays import Rows
from vector_index.segments.exact import FULL, HALF
from vector_index.segments.files import EXACT, ROWS, SegmentError, read_description
from vector_index.segments.saving import SEGMENTS, STORE, read_dead, read_saved, read_tail
from vector_index.spaces.timed import FRAME_BITS, frames_of

PAGE = 500
TOLD = 20
"""Lines of trouble that are told; the rest is counted."""


class SpaceCheck(msgspec.Struct):
    """One space of a snapshot. `rows`: compared with the log; `missing`, `unknown`, `differing`: what is wrong."""

    key: str
    rows: int = 0
    missing: int = 0
    unknown: int = 0
    differing: int = 0
    compared: bool = True


class SnapshotCheck(msgspec.Struct):
    """One snapshot."""

    sequence: int
    files: int = 0
    bytes: int = 0
    problems: list[str] = []
    spaces: list[SpaceCheck] = []


class Verification(msgspec.Struct):
    """All of an index's folder. `problems` is empty when all is well."""

    materials: int = 0
    sequence: int = 0
    log_bytes: int = 0
    problems: list[str] = []
    snapshots: list[SnapshotCheck] = []

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not self.problems and not any(one.problems for one in self.snapshots)


class StoredVectors:
    """The vectors of one space of a snapshot, by row.

    Raises:
        SegmentError: its files do not fit together.
    """

    def __init__(self, folder: Path) -> None:
        saved = read_saved(folder)
        self._parts: list[tuple[Rows, Rows, NDArray[Any]]] = []
        for entry in saved.segments:
            path = folder / SEGMENTS / entry.folder
            description = read_description(path)
            rows = np.fromfile(path / ROWS, "<i8")
            alive = np.flatnonzero(~read_dead(folder, entry, len(rows)))
            dtype = HALF if description.codebook else FULL
            if len(rows):
                exact: NDArray[Any] = np.memmap(path / EXACT, dtype, "r").reshape((-1, saved.dim))
                self._parts.append((rows[alive], alive, exact))
        rows, vectors = read_tail(folder, saved)
        self._parts.append((rows, np.arange(len(rows)), vectors))

    def rows(self) -> Rows:
        """Every live row, ascending."""
        found: Rows = np.sort(np.concatenate([rows for rows, _, _ in self._parts]))
        return found

    def wrong(self, rows: Rows, vectors: NDArray[np.float32]) -> tuple[int, int]:
        """How many of the rows are not here, and how many have another vector than [n, d]."""
        here = np.zeros(len(rows), np.bool_)
        differing = 0
        for held, places, exact in self._parts:
            if not len(held):
                continue
            at = np.searchsorted(held, rows).clip(0, len(held) - 1)
            mine = held[at] == rows
            here |= mine
            stored = exact[places[at[mine]]]
            differing += int((stored != vectors[mine].astype(exact.dtype)).any(axis=1).sum())
        return int((~here).sum()), differing


def read_only(log: Path) -> sqlite3.Connection:
    """A connection that changes nothing.

    Raises:
        UsageError: there is no log.
    """
    if not log.is_file():
        raise UsageError(f"{log.parent} holds no index", "give the --state of a system that has run")
    return sqlite3.connect(f"{log.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def verify(folder: Path) -> Verification:
    """Read everything under an index's folder again.

    Raises:
        UsageError: the folder holds no index.
    """
    found = Verification()
    with closing(read_only(folder / "log.sqlite")) as log:
        try:
            _verify_log(log, folder, found)
        except sqlite3.DatabaseError as error:
            found.problems.append(f"log.sqlite: {error}")
        for path in snapshot.all_in(folder / "snapshots"):
            check = _verify_snapshot(path, log)
            if path.exists():  # else a newer one took its place meanwhile
                found.snapshots.append(check)
    return found


def _verify_log(log: sqlite3.Connection, folder: Path, found: Verification) -> None:
    found.log_bytes = sum(path.stat().st_size for path in folder.glob("log.sqlite*"))
    for (line,) in log.execute(f"PRAGMA integrity_check({TOLD})"):
        if line != "ok":
            found.problems.append(f"log.sqlite: {line}")
    found.sequence = int(log.execute("SELECT sequence FROM progress").fetchone()[0])
    found.materials = int(log.execute("SELECT count(*) FROM materials WHERE live").fetchone()[0])


def _verify_snapshot(path: Path, log: sqlite3.Connection) -> SnapshotCheck:
    check = SnapshotCheck(int(path.name))
    try:
        manifest = snapshot.read_manifest(path)
    except snapshot.SnapshotError as error:
        check.problems.append(str(error))
        return check
    files = [file for space in manifest.spaces for file in space.files.values()]
    check.files, check.bytes = len(files), sum(file.size for file in files)
    check.problems += snapshot.damages(path, manifest)
    if not check.problems:
        try:
            _compare(path, manifest, log, check)
        except (SegmentError, OSError, ValueError, sqlite3.DatabaseError, msgspec.DecodeError, Permanent) as error:
            check.problems.append(f"it cannot be compared with the log: {error}")
    check.problems = [*check.problems[:TOLD], *_more(check.problems)]
    return check


def _more(problems: list[str]) -> list[str]:
    return [f"and {len(problems) - TOLD} more"] if len(problems) > TOLD else []


def _compare(path: Path, manifest: snapshot.Manifest, log: sqlite3.Connection, check: SnapshotCheck) -> None:
    stores: dict[str, tuple[str, StoredVectors, SpaceCheck]] = {}
    for space in manifest.spaces:
        told = SpaceCheck(space.key)
        check.spaces.append(told)
        if STORE in space.files:
            stores[space.key] = (space.schema, StoredVectors(path / space.folder), told)
        else:
            told.compared = False
    expected: dict[str, list[Rows]] = {key: [] for key in stores}
    for page in _pages(log, manifest.sequence):
        for key, (schema, stored, told) in stores.items():
            rows, vectors = _vectors_of(page, key, schema)
            if len(rows):
                missing, differing = stored.wrong(rows, vectors)
                told.missing += missing
                told.differing += differing
                expected[key].append(rows)
    later = np.array(
        [row for (row,) in log.execute("SELECT row FROM materials WHERE sequence > ?", (manifest.sequence,))], np.int64
    )
    for key, (schema, stored, told) in stores.items():
        held = stored.rows()
        told.rows = len(held)
        owner = held >> FRAME_BITS if schema == "timed-vectors" else held
        known = np.isin(held, np.concatenate([np.zeros(0, np.int64), *expected[key]])) | np.isin(owner, later)
        told.unknown = int((~known).sum())
        for count, words in (
            (told.missing, "vectors of the log are missing"),
            (told.differing, "vectors differ from the log's"),
            (told.unknown, "vectors are not in the log"),
        ):
            if count:
                check.problems.append(f"{key}: {count} {words}")


def _pages(log: sqlite3.Connection, sequence: int) -> Iterator[list[tuple[int, StoredEvidence]]]:
    """Live rows that have not changed since the snapshot, oldest first."""
    decoder = msgspec.msgpack.Decoder(StoredEvidence)
    cursor = log.execute(
        "SELECT row, evidence FROM materials WHERE live AND sequence <= ? ORDER BY row",
        (sequence,),
    )
    while page := cursor.fetchmany(PAGE):
        yield [(row, decoder.decode(blob)) for row, blob in page]


def _vectors_of(page: list[tuple[int, StoredEvidence]], key: str, schema: str) -> tuple[Rows, NDArray[np.float32]]:
    rows: list[Rows] = []
    vectors: list[NDArray[np.float32]] = []
    for row, evidence in page:
        feature: Feature | None = evidence.features.get(key)
        if feature is None:
            continue
        if schema == "timed-vectors":
            frames = frames_of(feature)
            rows.append((np.int64(row) << FRAME_BITS) + np.arange(len(frames), dtype=np.int64))
            vectors.append(frames)
        else:
            rows.append(np.array([row], np.int64))
            vectors.append(np.asarray(feature.array(), np.float32)[None])
    if not rows:
        return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    return np.concatenate(rows), np.concatenate(vectors)
