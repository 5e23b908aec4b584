"""From an older format of the log to the present one: one step per format, all in one transaction.

A log is brought up when it is opened. A kill in the middle leaves the old format untouched, since SQLite undoes the
transaction; the next start does it again. There is no way back: a newer log is refused by an older sosie.

To change the tables: count `log_schema.FORMAT` up, change `log_schema.TABLES`, and add the step that leads there from
the format before. A step may use `execute` only (`executescript` would commit in the middle).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from materials.errors import Permanent
from vector_index.crash_points import reached
from vector_index.log_format_2 import from_1

Step = Callable[[sqlite3.Connection], None]
STEPS: Mapping[int, Step] = {1: from_1}
"""By format: what brings a log of it to the next."""

logger = structlog.get_logger(__name__)


def migrate(
    connection: sqlite3.Connection, path: Path, found: int, wanted: int, steps: Mapping[int, Step] = STEPS
) -> None:
    """Bring a log from format `found` to `wanted`.

    Raises:
        Permanent: it is of a newer format, or of one so old that no step leads on from it.
        sqlite3.DatabaseError: the disk refuses; the log is as it was.
    """
    if found > wanted:
        raise Permanent(
            f"{path} has format {found}, and this version of sosie reads format {wanted}: it was written by a newer "
            "sosie. Install that one again (`pip install --upgrade sosie`), or give another --state"
        )
    missing = [number for number in range(found, wanted) if number not in steps]
    if missing:
        raise Permanent(
            f"{path} has format {found}, and this version of sosie reads format {wanted} and knows no way from "
            f"{missing[0]} to {missing[0] + 1}: open it once with the sosie release in between, or send the materials "
            "again into an empty folder (--state)"
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(found, wanted):
            steps[number](connection)
            connection.execute(f"PRAGMA user_version={number + 1}")
            reached("migration")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    logger.info("index log brought up", path=str(path), found=found, format=wanted)
