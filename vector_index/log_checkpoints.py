"""Checkpoints of the log's write-ahead file beside the writer, who would otherwise stand still for them.

A checkpoint copies changed pages from the write-ahead file into the database: thousands of them at random places, up to
half a second, in the middle of somebody's commit. SQLite lets another connection do it while commits go on. When one
has caught up between two commits, the file is begun anew; where it never does, the writer's own checkpoint at
`LIMIT_PAGES` is what bounds it.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import structlog

EVERY_CHANGES = 1_500
"""Rows that are changed between two checkpoints: about four hundred materials, eight megabytes."""
LIMIT_PAGES = 65_536
"""A write-ahead file of 256 MB is brought down by the writer itself."""
PASSES = 4
"""Each is shorter than the one before, and the last ones fit between two commits."""
BUSY_MS = 1_000

logger = structlog.get_logger(__name__)


class Checkpointer:
    """One thread, with a connection of its own. What it fails to do is done later: nothing is lost by it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = 0
        self._wanted = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def changed(self, rows: int) -> None:
        """The writer has committed so many changes more."""
        self._since += rows
        if self._since < EVERY_CHANGES:
            return
        self._since = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-checkpoints", daemon=True)
            self._thread.start()
        self._wanted.set()

    def close(self) -> None:
        """End the thread; before the log's own connection is closed."""
        self._closing = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while True:
                self._wanted.wait()
                self._wanted.clear()
                if self._closing:
                    return
                try:
                    if connection is None:
                        connection = _connect(self._path)
                    _checkpoint(connection)
                except sqlite3.Error as error:  # a full disk, say: the writer meets it too, and tells its callers
                    logger.warning("checkpoint put off", path=str(self._path), reason=str(error))
        finally:
            if connection is not None:
                connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _checkpoint(connection: sqlite3.Connection) -> None:
    for _ in range(PASSES):
        _, pages, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if done >= pages:  # the next transaction begins the file anew
            return
