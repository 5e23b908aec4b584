"""The truth of what was decided: one SQLite file, one transaction per batch. The spaces are only a projection of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from materials.errors import Permanent, Retryable
from materials.records import AssignItem, Assignment, Kind
from vector_index.crash_points import reached
from vector_index.evidence_cache import EvidenceCache, StoredEvidence
from vector_index.log_checkpoints import Checkpointer
from vector_index.log_clusters import ClusterTables, Member
from vector_index.log_events import EventTables
from vector_index.log_schema import connect
from vector_index.log_verdicts import VerdictTables
from vector_index.log_witness import Witness, refuse_shortened, sync_tail
from vector_index.row_groups import Numbers, RowGroups
from vector_index.row_places import Place, RowInfo, RowPlaces, StoredPlace

_INFOS = (
    "SELECT m.row, m.material_id, m.kind, coalesce(c.content_id, ''), coalesce(c.content_id,"
    " (SELECT min(content_id) FROM members a WHERE a.row=m.row), ''), coalesce(c.exemplar, 0) FROM materials m"
    " LEFT JOIN members c ON c.row=m.row AND c.policy=? WHERE m.live AND {where}"
)


class Decided(msgspec.Struct, frozen=True):
    """One earlier decision about a material id."""

    id: int
    policy: str
    revision: int
    deletes: bool
    fingerprint: bytes
    kind: Kind


class Live(msgspec.Struct, frozen=True):
    """The stored version of a material."""

    row: int
    revision: int
    fingerprint: bytes
    kind: Kind


class Change(msgspec.Struct, frozen=True):
    """A row that changed after a snapshot: its evidence, None when it is gone."""

    row: int
    evidence: StoredEvidence | None


class Log:
    """One connection, used by one thread at a time (the engine's lock). Writes only inside `transaction`."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        """Open or make the log.

        Args:
            now: epoch seconds, for the times of events and transactions.

        Raises:
            Permanent: a damaged file, one that lacks acknowledged transactions, or of another format.
            Retryable: the disk refuses.
        """
        refuse_shortened(path)
        self._db = connect(path)
        self._path = path
        self.events = EventTables(self._db, now, lambda: self.sequence)
        self.clusters = ClusterTables(self._db, self.events)
        self.verdicts = VerdictTables(self._db)
        self._cache = EvidenceCache()
        self._places = RowPlaces(self._read_places, self._read_infos)
        self._groups = RowGroups(self._read_members)
        self._unsent: set[int] = set()
        """Rows of the open transaction that may not have reached the file yet."""
        self._encoder = msgspec.msgpack.Encoder()
        self._evidence_decoder = msgspec.msgpack.Decoder(StoredEvidence)
        self._assignment_decoder = msgspec.msgpack.Decoder(Assignment)
        self._read_counters()
        try:
            sync_tail(path)
            self._witness = Witness(path.parent)
        except OSError as error:
            self._db.close()
            raise Retryable(f"{path.parent} cannot be written ({error.strerror}): free or repair the disk") from error
        self._witness.acknowledge(self.sequence)
        self._checkpoints = Checkpointer(path)

    def _read_counters(self) -> None:
        self._last_row: int = self._db.execute("SELECT max(row) FROM materials").fetchone()[0] or 0
        self.sequence: int = self._db.execute("SELECT sequence FROM progress").fetchone()[0]
        """The last committed transaction."""

    def close(self) -> None:
        """Close the files."""
        self._checkpoints.close()
        self._db.close()
        self._witness.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it is left.

        Raises:
            Retryable: the disk refuses the write (full, read-only); nothing was changed.
        """
        last_row, sequence = self._last_row, self.sequence
        reached("before-log")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self.sequence += 1
            self._unsent.clear()
            changes = self._db.total_changes
            try:
                yield
                self._db.flush()
                if self._db.total_changes == changes:  # replays only
                    self.sequence -= 1
                else:
                    self._db.execute("UPDATE progress SET sequence=?", (self.sequence,))
                    self.events.commit()
                reached("in-log")
                self._db.execute("COMMIT")
            except BaseException:
                self.sequence = sequence
                self._last_row = last_row
                self._cache.clear()
                self._forget_places()
                self._db.drop()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self.clusters.forget()
                self.verdicts.forget()
                raise
        except sqlite3.OperationalError as error:
            raise Retryable(
                f"the index log {self._path} cannot be written ({error}): free or repair the disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise Permanent(f"the index log {self._path} is damaged ({error}): restore it from a copy") from error
        self._witness.acknowledge(self.sequence)
        self._checkpoints.changed(self._db.total_changes - changes)

    # --- materials ---

    def insert_material(self, item: AssignItem, parent: str | None) -> int:
        """Store a version with its evidence; its new row, greater than every earlier one."""
        self._last_row += 1
        row = self._last_row
        evidence = StoredEvidence(item.features, item.text, item.biz, item.created_at)
        self._unsent.add(row)
        self._db.later(
            "INSERT INTO materials VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
            (
                row,
                item.material_id,
                item.kind,
                item.revision,
                item.fingerprint,
                parent,
                self._encoder.encode(evidence),
                self.sequence,
            ),
        )
        self._cache.put(row, evidence)
        return row

    def set_evidence(self, row: int, evidence: StoredEvidence) -> None:
        """Replace what is known of a live row."""
        self._db.execute(
            "UPDATE materials SET evidence=?, sequence=? WHERE row=?",
            (self._encoder.encode(evidence), self.sequence, row),
        )
        self._cache.put(row, evidence)

    def set_revision(self, row: int, revision: int) -> None:
        """The same content, sent again at another revision."""
        self._db.execute("UPDATE materials SET revision=? WHERE row=?", (revision, row))

    def kill(self, row: int) -> None:
        """The version is replaced or deleted: its evidence is erased, it leaves its clusters."""
        self._db.execute("UPDATE materials SET live=0, evidence=NULL, sequence=? WHERE row=?", (self.sequence, row))
        for heir in self.clusters.leave_all(row):
            self._changed(heir)
        self._changed(row)
        self._cache.drop(row)

    def live(self, material_id: str) -> Live | None:
        """The stored version."""
        query = "SELECT row, revision, fingerprint, kind FROM materials WHERE material_id=? AND live"
        found = self._db.execute(query, (material_id,)).fetchone()
        return None if found is None else Live(*found)

    def live_parts(self, parent: str) -> list[tuple[int, str]]:
        """(row, material id) of a post's stored parts, in order of their rows."""
        query = "SELECT row, material_id FROM materials WHERE parent=? AND live AND parent IS NOT NULL ORDER BY row"
        return self._db.execute(query, (parent,)).fetchall()

    def infos(self, rows: Iterable[int], policy: str) -> dict[int, RowInfo]:
        """Of those rows that live. What was read is kept until the row changes."""
        return self._places.of(policy, rows)

    def _reader(self, rows: Iterable[int]) -> Callable[..., sqlite3.Cursor]:
        """How to read of these rows: around the inserts that wait, unless one of them may be about one."""
        return self._db.peek if self._unsent.isdisjoint(rows) else self._db.execute

    def groups(self, rows: Numbers, policy: str) -> Numbers:
        """By row a number that tells distinct contents apart, as `RowInfo.group` does; 0 for a row that is gone or -1.
        Of any shape."""
        return self._groups.numbers(policy, rows)

    def _read_members(self, first: int, end: int) -> sqlite3.Cursor:
        query = "SELECT row, policy, content_id FROM members WHERE row >= ? AND row < ? ORDER BY row, policy"
        return self._reader(range(first, end))(query, (first, end))

    def _forget_places(self) -> None:
        self._places.clear()
        self._groups.clear()

    def _read_places(self, policy: str, first: int, end: int) -> list[StoredPlace]:
        where = "m.row >= ? AND m.row < ?"
        return self._reader(range(first, end))(_INFOS.format(where=where), (policy, first, end)).fetchall()

    def _read_infos(self, policy: str, rows: Sequence[int]) -> Iterator[Place]:
        where = "m.row IN (SELECT value FROM json_each(?))"
        return _places(self._reader(rows)(_INFOS.format(where=where), (policy, json.dumps(rows))))

    def _changed(self, row: int) -> None:
        """The row's place changed: read it again next time."""
        self._unsent.add(row)
        self._groups.forget(row)
        self._places.forget(row)

    def _placed(self, item: AssignItem, row: int, content_id: str, exemplar: bool) -> None:
        """The row's place changed, and under the item's policy it is known: the next batch finds it without a read."""
        self._changed(row)
        self._groups.set(item.policy, row, content_id)
        self._places.set(item.policy, row, RowInfo(item.material_id, item.kind, content_id, content_id, exemplar))

    def join(self, content_id: str, item: AssignItem, row: int, exemplar: bool) -> None:
        """Make an item's row a member of a cluster of its policy."""
        self.clusters.join(content_id, item.policy, row, exemplar)
        self._placed(item, row, content_id, exemplar)

    def found(self, item: AssignItem, row: int, created: float, exemplar: bool = True, *, first: bool = False) -> str:
        """A new content ID with this row as its centre. Not `exemplar`: it recruits nobody. `first`: nothing was ever
        decided about this material id."""
        found = self.clusters.found_first if first else self.clusters.found
        content_id = found(item.policy, item.kind, item.material_id, item.revision, row, created, exemplar)
        self._placed(item, row, content_id, exemplar)
        return content_id

    def split(self, content_id: str, founder: Member, revision: int, others: Sequence[Member]) -> str:
        """Move members into a content ID of their own; see `ClusterTables.split`."""
        new = self.clusters.split(content_id, founder, revision, others, self.events.now())
        self._forget_places()
        return new

    def redirect(self, content_id: str, to: str) -> None:
        """Merge one content ID into another; see `ClusterTables.redirect`."""
        self.clusters.redirect(content_id, to)
        self._forget_places()

    def evidence(self, row: int) -> StoredEvidence:
        """What is known of a live row.

        Raises:
            KeyError: no such row, or it is gone.
        """
        cached = self._cache.get(row)
        if cached is not None:
            return cached
        read = self._reader((row,))
        found = read("SELECT evidence FROM materials WHERE row=? AND live", (row,)).fetchone()
        if found is None:
            raise KeyError(row)
        evidence = self._evidence_decoder.decode(found[0])
        self._cache.put(row, evidence)
        return evidence

    def live_evidence(self, after: int) -> Iterator[tuple[int, str, Kind, int, StoredEvidence]]:
        """(row, material id, kind, revision, evidence) of live rows beyond `after`, in the order of their rows."""
        query = "SELECT row, material_id, kind, revision, evidence FROM materials WHERE row > ? AND live ORDER BY row"
        for row, material_id, kind, revision, blob in self._db.execute(query, (after,)):
            yield row, material_id, kind, revision, self._evidence_decoder.decode(blob)

    def changes(self, after: int) -> Iterator[Change]:
        """Rows that changed in a transaction after `after`, oldest row first."""
        query = "SELECT row, live, evidence FROM materials WHERE sequence > ? ORDER BY row"
        for row, live, blob in self._db.execute(query, (after,)):
            yield Change(row, self._evidence_decoder.decode(blob) if live else None)

    # --- decisions ---

    def histories(self, material_ids: Iterable[str]) -> dict[str, list[Decided]]:
        """By id every decision about it, oldest first; an empty list for an unknown one."""
        found: dict[str, list[Decided]] = {material_id: [] for material_id in material_ids}
        places = ",".join("?" * len(found))  # not json_each, which ends a string at a NUL
        query = (
            "SELECT material_id, id, policy, revision, deletes, fingerprint, kind FROM decisions"  # noqa: S608
            f" WHERE material_id IN ({places}) ORDER BY id"
        )
        for material_id, id_, policy, revision, deletes, fingerprint, kind in self._db.execute(query, tuple(found)):
            found[material_id].append(Decided(id_, policy, revision, bool(deletes), fingerprint, kind))
        return found

    def assignment(self, decision: int) -> Assignment:
        """What was answered then."""
        query = "SELECT assignment FROM decisions WHERE id=?"
        return self._assignment_decoder.decode(self._db.execute(query, (decision,)).fetchone()[0])

    def decisions_by_transaction(self) -> Iterator[tuple[int, list[tuple[int, str, str, bytes]]]]:
        """Every transaction that decided, oldest first: its sequence, and (decision, material id, policy,
        fingerprint) in order."""
        query = "SELECT sequence, id, material_id, policy, fingerprint FROM decisions ORDER BY id"
        for sequence, group in groupby(self._db.execute(query), key=itemgetter(0)):
            yield sequence, [(row[1], row[2], row[3], row[4]) for row in group]

    def decided(self) -> Iterator[tuple[str, str]]:
        """(material id, policy) of all that was ever decided, parts of posts left out."""
        query = "SELECT DISTINCT material_id, policy FROM decisions WHERE instr(material_id, '/') = 0"
        yield from self._db.execute(query + " ORDER BY material_id, policy")

    def sequence_of(self, decision: int) -> int:
        """The transaction that took the decision."""
        return int(self._db.execute("SELECT sequence FROM decisions WHERE id=?", (decision,)).fetchone()[0])

    def latest(self, material_id: str, policy: str) -> Assignment | None:
        """The decision that holds now."""
        found = self._db.execute(
            "SELECT assignment FROM decisions WHERE material_id=? AND policy=?"
            " ORDER BY revision DESC, deletes DESC LIMIT 1",
            (material_id, policy),
        ).fetchone()
        return None if found is None else self._assignment_decoder.decode(found[0])

    def decide(self, assignment: Assignment, policy: str, fingerprint: bytes) -> None:
        """Keep an answer."""
        self._db.later(
            "INSERT INTO decisions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                assignment.material_id,
                policy,
                assignment.revision,
                assignment.outcome == "deleted",
                fingerprint,
                assignment.kind,
                assignment.content_id,
                assignment.outcome,
                self._encoder.encode(assignment),
                self.sequence,
            ),
        )

    # --- spaces and counts ---

    def add_space(self, key: str, schema: str, dim: int) -> None:
        """Remember a recall space."""
        self._db.execute("INSERT OR IGNORE INTO spaces VALUES (?, ?, ?)", (key, schema, dim))

    def spaces(self) -> dict[str, tuple[str, int]]:
        """Feature key -> (schema, dimensions)."""
        return {key: (schema, dim) for key, schema, dim in self._db.execute("SELECT key, schema, dim FROM spaces")}

    def counts(self) -> tuple[int, int]:
        """Live materials (parts included), content IDs that are not redirected."""
        materials = self._db.execute("SELECT count(*) FROM materials WHERE live").fetchone()[0]
        ids = self._db.execute("SELECT count(*) FROM content_ids WHERE redirect_to IS NULL").fetchone()[0]
        return materials, ids

    def content_id_of(self, row: int, policy: str) -> str:
        """The row's content ID under a policy, "" without one."""
        query = "SELECT content_id FROM members WHERE row=? AND policy=?"
        found: Sequence[str] | None = self._db.execute(query, (row, policy)).fetchone()
        return "" if found is None else found[0]


def _places(rows: sqlite3.Cursor) -> Iterator[Place]:
    for row, *info in rows:
        yield row, RowInfo(*info)
