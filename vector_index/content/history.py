"""What happened to a content ID or to a material: minted, joined, merged, split, linked, deleted; when, by whom, why.

Minting and joining are read from the decisions, which tell who joined through whom at what score; all else from events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from materials.errors import UsageError
from materials.records import Assignment
from vector_index.content.records import History, HistoryEntry
from vector_index.content.shelf import Shelf
from vector_index.log import Decided
from vector_index.log_events import Event
from vector_index.policies import policy_named

MOST = 1000
"""Entries of one history; of longer ones the first and the newest."""


def of_content_id(shelf: Shelf, content_id: str) -> History:
    """Everything about one content ID; about what was merged into it only that it was.

    Raises:
        UsageError: it was never minted.
    """
    clusters = shelf.log.clusters
    canonical = clusters.resolve(content_id)
    if canonical is None:
        raise UsageError(f"{content_id} was never minted here", "look: sosie content get MATERIAL_ID")
    row = clusters.row(content_id)
    events = shelf.log.events.of_content_id(content_id)
    names = {member.material_id for member in clusters.stored_members(content_id)} if canonical == content_id else set()
    names.add(row.founder)
    for event in events:
        if event.what == "left":
            names.add(event.material_id)
        elif event.what in ("merged", "split") and event.content_id == content_id:
            names.update(event.details.get("members", ()))
    entries = [entry for entry in _decisions(shelf, sorted(names), row.policy) if entry.content_id == content_id]
    entries += [_told(shelf, event, content_id) for event in events]
    if row.split_from is not None:  # its founder did not found it by arriving
        entries = [entry for entry in entries if entry.what != "minted"]
    kept, left_out = _cut(sorted(_once(entries), key=_in_order))
    return History(
        content_id=content_id,
        canonical=canonical,
        policy=row.policy,
        kind=row.kind,
        founder=row.founder,
        split_from=row.split_from or "",
        members=len(clusters.stored_members(canonical)),
        entries=kept,
        left_out=left_out,
    )


def of_material(shelf: Shelf, material_id: str, policy: str) -> History:
    """Everything about one material under a policy: its decisions by revision, and what became of its content ID.

    Raises:
        UsageError: it was never decided under that policy.
    """
    policy_named(policy, shelf.policies)
    latest = shelf.log.latest(material_id, policy)
    if latest is None:
        raise UsageError(f"{material_id} was never decided under policy {policy}", f"sosie content get {material_id}")
    place = shelf.log.clusters.places(policy, [material_id]).get(material_id)
    content_id = place[0] if place else latest.content_id
    entries = _decisions(shelf, [material_id], policy)
    touched = {entry.content_id for entry in entries} | {content_id}
    seen: set[tuple[object, ...]] = set()
    for event in shelf.log.events.about(material_id):
        if event.policy == policy:
            entries.append(_told(shelf, event, ""))
            seen.add((event.sequence, event.what, event.content_id, event.other))
    for one in sorted(touched):
        for event in shelf.log.events.of_content_id(one):
            about = (event.what == "merged" and event.content_id == one) or material_id in event.details.get(
                "members", ()
            )
            if about and (event.sequence, event.what, event.content_id, event.other) not in seen:
                seen.add((event.sequence, event.what, event.content_id, event.other))
                entries.append(_told(shelf, event, ""))
    kept, left_out = _cut(sorted(_once(entries), key=_in_order))
    return History(
        content_id=latest.content_id,
        canonical=shelf.log.clusters.resolve(content_id) or content_id,
        policy=policy,
        kind=latest.kind,
        material_id=material_id,
        entries=kept,
        left_out=left_out,
    )


def _decisions(shelf: Shelf, material_ids: Sequence[str], policy: str) -> list[HistoryEntry]:
    entries: list[HistoryEntry] = []
    for start in range(0, len(material_ids), MOST):
        for history in shelf.log.histories(material_ids[start : start + MOST]).values():
            entries.extend(_decision(shelf, decided) for decided in history if decided.policy == policy)
    return entries


def _decision(shelf: Shelf, decided: Decided) -> HistoryEntry:
    answer, sequence = shelf.log.assignment(decided.id), shelf.log.sequence_of(decided.id)
    matched = answer.matched
    return HistoryEntry(
        what=_what(answer),
        content_id=answer.content_id,
        material_id=answer.material_id,
        other="" if matched is None else matched.material_id,
        at=shelf.log.events.committed(sequence),
        score=None if matched is None else matched.score,
        details={"revision": answer.revision} | ({} if matched is None else {"ranker": matched.ranker}),
        sequence=sequence,
    )


def _what(answer: Assignment) -> str:
    if answer.outcome == "deleted":
        return "deleted"
    return "minted" if answer.matched is None else "joined"


def _told(shelf: Shelf, event: Event, content_id: str) -> HistoryEntry:
    what: str = event.what
    if event.what == "merged" and event.other == content_id:
        what = "absorbed"
    elif event.what == "split" and event.other == content_id:
        what = "split_off"
    elif event.what == "left":
        what = "deleted" if _deleted_then(shelf, event) else "replaced"
    return HistoryEntry(
        what=what,
        content_id=event.content_id,
        material_id=event.material_id,
        other=event.other,
        at=event.at,
        who=event.who,
        why=event.why,
        score=event.details.get("score"),
        details=event.details,
        sequence=event.sequence,
    )


def _deleted_then(shelf: Shelf, event: Event) -> bool:
    decided = shelf.log.histories([event.material_id])[event.material_id]
    return any(one.deletes and shelf.log.sequence_of(one.id) == event.sequence for one in decided)


def _once(entries: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """A delete is a decision and an event: told once."""
    seen: set[tuple[int, str]] = set()
    once = []
    for entry in entries:
        if entry.what == "deleted":
            if (entry.sequence, entry.material_id) in seen:
                continue
            seen.add((entry.sequence, entry.material_id))
        once.append(entry)
    return once


def _in_order(entry: HistoryEntry) -> tuple[int, bool]:
    """Within one transaction a minting comes before what followed from it."""
    return entry.sequence, entry.what not in ("minted", "joined", "deleted")


def _cut(entries: Iterable[HistoryEntry]) -> tuple[list[HistoryEntry], int]:
    every = list(entries)
    if len(every) <= MOST:
        return every, 0
    return [every[0], *every[1 - MOST :]], len(every) - MOST
