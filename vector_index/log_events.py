"""The log's table of events: what happened to content IDs beside minting and joining."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

EventKind = Literal["merged", "split", "left", "handed_over", "same", "different", "withdrawn"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    `merged`: `content_id` was redirected to `other`. `split`: `other` was made out of `content_id`, `material_id` its
    centre. `left`: `material_id` was deleted or replaced. `handed_over`: `material_id` is the centre from now on.
    `same`, `different`, `withdrawn`: a verdict on `material_id` and `other`. `details`: see `content.operations`.
    """

    policy: str
    content_id: str
    what: EventKind
    material_id: str = ""
    other: str = ""
    who: str = ""
    why: str = ""
    details: dict[str, Any] = {}
    at: float = 0.0
    sequence: int = 0


class EventTables:
    """Reads and writes inside the transaction that the log has open.

    Args:
        now: epoch seconds.
        sequence: the number of the open transaction.
    """

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float], sequence: Callable[[], int]) -> None:
        self._db = connection
        self._now = now
        self._sequence = sequence

    def now(self) -> float:
        """Epoch seconds."""
        return self._now()

    def add(self, event: Event) -> None:
        """Write an event under the open transaction; its `at`, where none is given, is now."""
        self._db.execute(
            "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.policy,
                event.content_id,
                event.what,
                event.material_id,
                event.other,
                event.who,
                event.why,
                msgspec.json.encode(event.details),
                event.at or self._now(),
                self._sequence(),
            ),
        )

    def of_content_id(self, content_id: str) -> list[Event]:
        """What happened to a content ID, as the one that changed or as the one that came of it; oldest first."""
        where = "content_id=?1 OR (other=?1 AND what IN ('merged', 'split'))"
        return list(self._read(where, content_id))

    def about(self, material_id: str) -> list[Event]:
        """What names a material, oldest first."""
        return list(self._read("material_id=?1 OR (other=?1 AND what NOT IN ('merged', 'split'))", material_id))

    def between(self, after: int, until: int) -> list[Event]:
        """Events of transactions after one and up to another, in order."""
        return list(self._read("sequence > ? AND sequence <= ?", after, until))

    def committed(self, sequence: int) -> float | None:
        """When a transaction was committed; None for those of a time when that was not written down."""
        found = self._db.execute("SELECT at FROM commits WHERE sequence=?", (sequence,)).fetchone()
        return None if found is None else float(found[0])

    def commit(self) -> None:
        """The open transaction is about to be committed."""
        self._db.execute("INSERT OR REPLACE INTO commits VALUES (?, ?)", (self._sequence(), self._now()))

    def _read(self, where: str, *values: object) -> Iterator[Event]:
        query = (
            "SELECT policy, content_id, what, material_id, other, who, why, details, at, sequence"  # noqa: S608
            f" FROM events WHERE {where} ORDER BY id"
        )
        for policy, content_id, what, material_id, other, who, why, details, at, sequence in self._db.execute(
            query, values
        ):
            yield Event(
                policy=policy,
                content_id=content_id,
                what=what,
                material_id=material_id,
                other=other,
                who=who,
                why=why,
                details=msgspec.json.decode(details),
                at=at,
                sequence=sequence,
            )
