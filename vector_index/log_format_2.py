"""The step from format 1 of the log to 2: what format 1 lacked, as it was when format 2 was new.

No answer and no content ID changes. Content IDs learn the order in which they were born from their founders' decisions.
"""

from __future__ import annotations

import sqlite3

_STATEMENTS = (
    "ALTER TABLE content_ids ADD COLUMN born INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE content_ids ADD COLUMN split_from TEXT",
    "CREATE TEMP TABLE ages (content_id TEXT PRIMARY KEY, born INTEGER NOT NULL) WITHOUT ROWID",
    """INSERT INTO ages SELECT c.content_id, row_number() OVER (ORDER BY coalesce((SELECT min(d.id) FROM decisions d
       WHERE d.material_id=c.founder AND d.policy=c.policy AND d.revision=c.revision), 0), c.created, c.content_id)
       FROM content_ids c""",
    "UPDATE content_ids SET born=(SELECT a.born FROM ages a WHERE a.content_id=content_ids.content_id)",
    "DROP TABLE ages",
    "CREATE INDEX content_ids_by_age ON content_ids (born)",
    """CREATE TABLE verdicts (policy TEXT NOT NULL, one TEXT NOT NULL, other TEXT NOT NULL, verdict TEXT NOT NULL,
       who TEXT NOT NULL, why TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (policy, one, other)) WITHOUT ROWID""",
    "CREATE INDEX verdicts_from_other ON verdicts (policy, other)",
    """CREATE TABLE events (id INTEGER PRIMARY KEY, policy TEXT NOT NULL, content_id TEXT NOT NULL, what TEXT NOT NULL,
       material_id TEXT NOT NULL, other TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, details BLOB NOT NULL,
       at REAL NOT NULL, sequence INTEGER NOT NULL)""",
    "CREATE INDEX events_of ON events (content_id)",
    "CREATE INDEX events_about ON events (material_id)",
    "CREATE INDEX events_with ON events (other)",
    "CREATE TABLE commits (sequence INTEGER PRIMARY KEY, at REAL NOT NULL)",
)


def from_1(connection: sqlite3.Connection) -> None:
    """Inside the migration's transaction."""
    for statement in _STATEMENTS:
        connection.execute(statement)
