"""A second witness of what was acknowledged: the number of the log's last transaction, in a small file beside it.

SQLite takes a damaged frame of its write-ahead file for the torn end of an unfinished transaction and drops it with all
that follow, without a word: right after a crash, wrong after a flipped bit or a file that was cut short. So the log's
sequence is noted here after each commit and before anybody is answered. A log that ends before it lacks something that
was acknowledged, and is not opened.

The note is written in place without a sync: it outlives the process, and after a power failure it may be older than the
log, which is harmless. Never is it newer than what the disk has confirmed.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
from pathlib import Path

import structlog

from materials.errors import Permanent

NAME = "acknowledged"
_FORMAT = struct.Struct("<8sQ")
_MAGIC = b"sosieack"
_CHECK_BYTES = 8

logger = structlog.get_logger(__name__)


def _encoded(sequence: int) -> bytes:
    note = _FORMAT.pack(_MAGIC, sequence)
    return note + hashlib.blake2b(note, digest_size=_CHECK_BYTES).digest()


class Witness:
    """The file `acknowledged` in the log's folder, held open.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        self._path = path
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        self._sequence = _decoded(os.pread(self._file, _FORMAT.size + _CHECK_BYTES, 0), path)

    def acknowledge(self, sequence: int) -> None:
        """Note that this transaction is durable; called before its callers are answered."""
        if sequence == self._sequence:
            return
        try:
            os.pwrite(self._file, _encoded(sequence), 0)
        except OSError as error:  # the log has it: only the second witness is behind
            logger.warning("acknowledged sequence not noted", path=str(self._path), reason=str(error))
        self._sequence = sequence

    def close(self) -> None:
        """Give the file back; again is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _decoded(note: bytes, path: Path) -> int:
    if not note:
        return 0
    if len(note) == _FORMAT.size + _CHECK_BYTES:
        _, sequence = _FORMAT.unpack_from(note)
        if note == _encoded(sequence):
            return int(sequence)
    logger.warning("note of the acknowledged sequence is damaged and is made anew", path=str(path))
    return 0


def noted(folder: Path) -> int:
    """The last acknowledged transaction, 0 where nothing sound is noted."""
    path = folder / NAME
    return _decoded(path.read_bytes(), path) if path.is_file() else 0


def refuse_shortened(log: Path) -> None:
    """Look at a log without changing it, and refuse one that lacks acknowledged transactions.

    Call before it is opened for writing: SQLite would throw the damaged end away, and with it what can be saved.

    Raises:
        Permanent: the log ends before what was acknowledged.
    """
    acknowledged = noted(log.parent)
    found = _sequence(log)
    if found is None or found >= acknowledged:
        return
    raise Permanent(
        f"{log} ends with transaction {found}, and {acknowledged} were acknowledged: {acknowledged - found} are "
        f"missing, because {log.name}-wal is damaged, cut short or gone, or an older copy was put in its place. "
        "Nothing was changed. Put the newest whole copy of the folder back (`sosie index restore`); "
        f"or, to go on without what is missing, delete {log.parent / NAME}"
    )


def _sequence(log: Path) -> int | None:
    """The log's last transaction, read only; None where that cannot be told and the opening itself will speak."""
    if not log.is_file():
        return 0
    try:
        connection = sqlite3.connect(f"{log.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return None
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "progress" not in tables:
            return None if tables else 0
        return int(connection.execute("SELECT sequence FROM progress").fetchone()[0])
    except sqlite3.Error:
        return None
    finally:
        connection.close()


def sync_tail(log: Path) -> None:
    """Make durable what a killed process had written and not yet synced: replays of it are answered without a write.

    Raises:
        OSError: the disk refuses.
    """
    tail = log.with_name(f"{log.name}-wal")
    if tail.is_file():
        descriptor = os.open(tail, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
