"""A copy of an index that can be put back: the log as of one moment, the newest snapshot, every checksum.

Made while the service runs on the folder: SQLite reads one transaction's state, and a snapshot's files never change.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import structlog

from materials.errors import Permanent, Retryable, UsageError
from vector_index import snapshot
from vector_index.crash_points import reached
from vector_index.log_schema import APPLICATION_ID
from vector_index.segments.files import FileSum, checksum, sync
from vector_index.segments.saving import link
from vector_index.verification import read_only

FORMAT = 1
DESCRIPTION = "backup.json"
LOG = "log.sqlite"
ATTEMPTS = 5
OWN = (LOG, f"{LOG}-wal", f"{LOG}-shm", "snapshots", "segments", "lock", "acknowledged", DESCRIPTION)
"""What a restore replaces; all else in an index's folder (its token, names of collections) is kept."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
logger = structlog.get_logger(__name__)


class Backup(msgspec.Struct, frozen=True):
    """`backup.json`: the log's last transaction, the snapshot's (0 for none), size and SHA-256 of every file."""

    format: int
    sequence: int
    snapshot: int
    files: dict[str, FileSum]


def make(folder: Path, out: Path) -> Backup:
    """Copy an index's folder to `out`, which must not exist and appears whole or not at all.

    Raises:
        UsageError: no index there, or `out` exists.
        Retryable: the disk refuses.
    """
    if out.exists():
        raise UsageError(f"{out} exists", "name a new folder")
    beside = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        # the snapshot first: the log, copied after it, knows all that it holds
        held = _copy_newest(folder / "snapshots", beside / "snapshots")
        with closing(read_only(folder / LOG)) as log:
            log.execute("VACUUM INTO ?", (str(beside / LOG),))
        with closing(read_only(beside / LOG)) as copy:
            sequence = int(copy.execute("SELECT sequence FROM progress").fetchone()[0])
        files = {name: checksum(beside / name) for name in snapshot.files_in(beside)}
        backup = Backup(FORMAT, sequence, held, files)
        (beside / DESCRIPTION).write_bytes(msgspec.json.encode(backup))
        for path in (beside / LOG, beside / DESCRIPTION, beside):
            sync(path)
        beside.rename(out)
        sync(out.parent)
    except (OSError, sqlite3.Error) as error:
        raise Retryable(f"no copy could be written to {out} ({error})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return backup


def _copy_newest(snapshots: Path, to: Path) -> int:
    """The newest snapshot's sequence, 0 where there is none. One that is dropped meanwhile is tried again."""
    to.mkdir()
    for attempt in range(ATTEMPTS):
        newest = next(iter(snapshot.all_in(snapshots)), None)
        if newest is None:
            return 0
        target = to / newest.name
        try:
            for name in snapshot.files_in(newest):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                link(newest / name, target / name)
        except FileNotFoundError:
            shutil.rmtree(target, ignore_errors=True)
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return int(newest.name)
    return 0


def read(source: Path) -> Backup:
    """What a copy says of itself, every byte of it checked.

    Raises:
        UsageError: no copy is there.
        Permanent: it is damaged, or of another format.
    """
    if not (source / DESCRIPTION).is_file():
        raise UsageError(f"{source} is no copy of an index", "make one: sosie index snapshot --out FOLDER")
    try:
        backup = msgspec.json.decode((source / DESCRIPTION).read_bytes(), type=Backup)
    except msgspec.DecodeError as error:
        raise Permanent(f"{source / DESCRIPTION} is damaged ({error}): take another copy") from error
    if backup.format != FORMAT:
        raise Permanent(f"{source} has format {backup.format}, and this version of sosie reads format {FORMAT}")
    for name, expected in backup.files.items():
        try:
            sound = checksum(source / name) == expected
        except OSError as error:
            raise Permanent(f"{source / name} cannot be read ({error.strerror}): take another copy") from error
        if not sound:
            raise Permanent(f"{source / name} does not match its checksum: take another copy")
    return backup


def restore(source: Path, folder: Path) -> tuple[Backup, Path | None]:
    """Put a copy back as `folder`, in one step; what was there is kept beside it. Nobody may have the folder open.

    Returns:
        What was put back, and where the former index lies now, None where there was none.

    Raises:
        UsageError, Permanent: see `read`.
        Retryable: the disk refuses; the folder is as it was.
    """
    backup = read(source)
    beside = folder.with_name(f".{folder.name}.restoring")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for name in backup.files:
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, beside / name)  # not linked: the log is written to
            sync(beside / name)
        _check_log(beside / LOG)
        if folder.exists():
            _keep_the_rest(folder, beside)
        sync(beside)
        reached("restore")
        if not folder.exists():
            beside.rename(folder)
            return backup, None
        former = _free_name(folder)
        _exchange(beside, folder)
        beside.rename(former)
        sync(folder.parent)
    except OSError as error:
        raise Retryable(f"{source} could not be put back as {folder} ({error})") from error
    finally:
        if beside.exists() and folder.exists():
            shutil.rmtree(beside, ignore_errors=True)
    logger.info("index restored", sequence=backup.sequence, former=str(former))
    return backup, former


def _check_log(path: Path) -> None:
    with closing(read_only(path)) as log:
        if log.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise Permanent(f"{path} is no index log of sosie")


def _keep_the_rest(folder: Path, beside: Path) -> None:
    for path in folder.iterdir():
        if path.name not in OWN and not (beside / path.name).exists():
            if path.is_dir():
                shutil.copytree(path, beside / path.name)
            else:
                shutil.copy2(path, beside / path.name)


def _free_name(folder: Path) -> Path:
    number = 1
    while (named := folder.with_name(f"{folder.name}.before-restore-{number}")).exists():
        number += 1
    return named


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step, so that a crash leaves the old one or the new one, never none."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
