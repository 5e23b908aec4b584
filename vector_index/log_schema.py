"""The log's file: SQLite in WAL mode with synchronous=FULL, its tables, and the check of its format on opening."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from materials.errors import Permanent, Retryable
from vector_index.buffered_writes import BufferedConnection
from vector_index.log_checkpoints import LIMIT_PAGES
from vector_index.log_migrations import migrate

APPLICATION_ID = 0x736F7369
"""`sosi` in the file's header."""
FORMAT = 2
"""2 brought verdicts, events, the times of transactions, and the order in which content IDs were born."""
BUSY_MS = 5_000

TABLES = """
-- One row per stored version of a material. `live` = 0: replaced or deleted, its evidence is gone. `sequence`: the
-- transaction that last changed it; a snapshot is mended with the rows above its own. `parent`: the post of a part.
CREATE TABLE materials (
    row INTEGER PRIMARY KEY,
    material_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    revision INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    parent TEXT,
    live INTEGER NOT NULL,
    evidence BLOB,
    sequence INTEGER NOT NULL
);
CREATE UNIQUE INDEX live_materials ON materials (material_id) WHERE live;
CREATE INDEX live_parts ON materials (parent) WHERE live AND parent IS NOT NULL;
CREATE INDEX changed_materials ON materials (sequence);

-- What was answered, for ever: a replay answers the same. `deletes`: 1 for the operation `delete`.
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    material_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    revision INTEGER NOT NULL,
    deletes INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    kind TEXT NOT NULL,
    content_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    assignment BLOB NOT NULL,
    sequence INTEGER NOT NULL
);
CREATE UNIQUE INDEX decided ON decisions (material_id, policy, revision, deletes);

-- `centre`: the row that newcomers are compared with, NULL when all members are gone. `redirect_to`: merged into.
-- `born`: counts up with each ID, so that of two the older is known without a clock. `split_from`: its lineage.
CREATE TABLE content_ids (
    content_id TEXT PRIMARY KEY,
    policy TEXT NOT NULL,
    kind TEXT NOT NULL,
    founder TEXT NOT NULL,
    revision INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    centre INTEGER,
    created REAL NOT NULL,
    redirect_to TEXT,
    born INTEGER NOT NULL,
    split_from TEXT
) WITHOUT ROWID;
CREATE INDEX content_ids_by_age ON content_ids (born);

-- `exemplar`: it joined through the centre (or was the centre), so that newcomers may join through it.
CREATE TABLE members (
    row INTEGER NOT NULL,
    policy TEXT NOT NULL,
    content_id TEXT NOT NULL,
    exemplar INTEGER NOT NULL,
    PRIMARY KEY (row, policy)
) WITHOUT ROWID;
CREATE INDEX members_of ON members (content_id, row);

-- A post's media by content ID: posts that share a medium find each other through it.
CREATE TABLE post_media (
    row INTEGER NOT NULL,
    policy TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content_id TEXT NOT NULL,
    PRIMARY KEY (row, policy, ordinal)
) WITHOUT ROWID;
CREATE INDEX posts_with ON post_media (content_id, row);

-- The last transaction that changed anything.
CREATE TABLE progress (sequence INTEGER NOT NULL);
INSERT INTO progress VALUES (0);

-- The recall spaces: what schema a feature key has, and the dimensions of its vectors (0: not fixed).
CREATE TABLE spaces (
    key TEXT PRIMARY KEY,
    schema TEXT NOT NULL,
    dim INTEGER NOT NULL
) WITHOUT ROWID;

-- What persons said of two materials, `one` < `other`: `same` or `different`. It wins over every score.
CREATE TABLE verdicts (
    policy TEXT NOT NULL,
    one TEXT NOT NULL,
    other TEXT NOT NULL,
    verdict TEXT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (policy, one, other)
) WITHOUT ROWID;
CREATE INDEX verdicts_from_other ON verdicts (policy, other);

-- What happened to content IDs beside minting and joining, which `content_ids` and `decisions` tell. `details`: JSON.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    policy TEXT NOT NULL,
    content_id TEXT NOT NULL,
    what TEXT NOT NULL,
    material_id TEXT NOT NULL,
    other TEXT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    details BLOB NOT NULL,
    at REAL NOT NULL,
    sequence INTEGER NOT NULL
);
CREATE INDEX events_of ON events (content_id);
CREATE INDEX events_about ON events (material_id);
CREATE INDEX events_with ON events (other);

-- When each transaction was committed, in epoch seconds.
CREATE TABLE commits (sequence INTEGER PRIMARY KEY, at REAL NOT NULL);
"""


def connect(path: Path) -> BufferedConnection:
    """Open the log, made new where there is none, brought up to `FORMAT` where it is older. Autocommit: transactions
    are begun by hand.

    Raises:
        Permanent: the file is no log of ours, is damaged, or has a format that cannot be read.
        Retryable: the disk refuses (read-only, full, no right to write): nothing was changed.
    """
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=256, factory=BufferedConnection
        )
    except sqlite3.OperationalError as error:
        raise _refused(path, error) from error
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={LIMIT_PAGES}")
        _check_format(connection, path)
        _check_writable(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise _refused(path, error) from error
        raise Permanent(f"{path} is not a readable index log ({error}): restore it from a copy") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _refused(path: Path, error: sqlite3.OperationalError) -> Retryable:
    return Retryable(
        f"the index log {path} cannot be opened for writing ({error}): is the disk full or read-only, or does the "
        "folder belong to another user? Free or repair it, then start again"
    )


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables and not application:
        script = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT};"
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES} {script} COMMIT;")
        return
    if application != APPLICATION_ID:
        raise Permanent(f"{path} is a SQLite file, but no index log of sosie: give another --state")
    if version != FORMAT:
        migrate(connection, path, version, FORMAT)


def _check_writable(connection: sqlite3.Connection) -> None:
    """A disk that takes no write is told at the start, not by the first call."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
