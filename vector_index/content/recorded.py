"""A log read as the calls that made it: batches of items, and what persons did between them, in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from materials.errors import UsageError
from materials.records import AssignItem, Assignment, Kind
from vector_index.evidence_cache import StoredEvidence
from vector_index.log import Log
from vector_index.log_events import Event

Key = tuple[str, str, int]
"""Material, policy, revision."""
_AUTOMATIC = ("left", "handed_over")


class Decision(msgspec.Struct, frozen=True):
    """What was answered for one material. `erased`: its evidence is gone, so that nothing can decide it anew."""

    answer: Assignment
    policy: str
    fingerprint: bytes
    erased: bool


class Batch(msgspec.Struct, frozen=True):
    """The items of one transaction, in order, and what was decided for each (parts too) by key."""

    items: list[AssignItem]
    decisions: dict[Key, Decision]


Recorded = Batch | list[Event]


def copy_log(source: Path, target: Path) -> None:
    """A consistent copy, also while a service writes to the log.

    Raises:
        UsageError: there is no log, or it cannot be read.
    """
    if not source.is_file():
        raise UsageError(f"there is no index log at {source}", "name the state folder of a system: --state DIR")
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source.resolve()))}?mode=ro", uri=True)) as read,
            closing(sqlite3.connect(target)) as written,
        ):
            read.backup(written)
    except sqlite3.Error as error:
        raise UsageError(f"the index log {source} cannot be read ({error})", "restore it from a copy") from error


def recorded(log: Log) -> Iterator[Recorded]:
    """Every transaction of a log, oldest first, as the call that it was. Events that follow from calls are left out."""
    erased = _Evidence(log)
    done = 0
    for sequence, decisions in log.decisions_by_transaction():
        yield from _events(log, done, sequence - 1)
        done = sequence
        batch = _batch(log, erased, decisions)
        if batch.items:
            yield batch
    yield from _events(log, done, log.sequence)


def _events(log: Log, after: int, until: int) -> Iterator[list[Event]]:
    group: list[Event] = []
    for event in log.events.between(after, until):
        if event.what in _AUTOMATIC:
            continue
        if group and group[-1].sequence != event.sequence:
            yield group
            group = []
        group.append(event)
    if group:
        yield group


class _Evidence:
    """Stored evidence by material and fingerprint: of a version that was replaced there is none any more."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def of(self, material_id: str, fingerprint: bytes, kind: Kind) -> StoredEvidence | None:
        live = self._log.live(material_id)
        if live is None or live.fingerprint != fingerprint or live.kind != kind:
            return None
        return self._log.evidence(live.row)


def _batch(log: Log, evidence: _Evidence, ids: list[tuple[int, str, str, bytes]]) -> Batch:
    decisions: dict[Key, Decision] = {}
    items: list[AssignItem] = []
    deleted: set[tuple[str, int]] = set()
    for decision, material_id, policy, fingerprint in ids:
        answer = log.assignment(decision)
        deletes = answer.outcome == "deleted"
        known = None if deletes else evidence.of(material_id, fingerprint, answer.kind)
        if not deletes:
            key = (material_id, policy, answer.revision)
            decisions[key] = Decision(answer, policy, fingerprint, known is None)
        if "/" in material_id:
            continue
        if deletes:
            if (material_id, answer.revision) not in deleted:  # one call deletes under every policy
                deleted.add((material_id, answer.revision))
                items.append(_item(answer, policy, fingerprint, None, ()))
            continue
        parts = tuple(_part(part, policy, decisions, evidence) for part in answer.parts)
        items.append(_item(answer, policy, fingerprint, known, parts))
    return Batch(items, decisions)


def _part(part: Assignment, policy: str, decisions: dict[Key, Decision], evidence: _Evidence) -> AssignItem:
    made = decisions[(part.material_id, policy, part.revision)]
    known = evidence.of(part.material_id, made.fingerprint, part.kind)
    return _item(part, policy, made.fingerprint, known, ())


def _item(
    answer: Assignment, policy: str, fingerprint: bytes, known: StoredEvidence | None, parts: tuple[AssignItem, ...]
) -> AssignItem:
    known = known or StoredEvidence({})
    return AssignItem(
        material_id=answer.material_id,
        kind=answer.kind,
        policy=policy,
        fingerprint=fingerprint,
        revision=answer.revision,
        features=known.features,
        text=known.text,
        parts=parts,
        biz=known.biz,
        created_at=known.created_at,
        op="delete" if answer.outcome == "deleted" else "upsert",
    )
