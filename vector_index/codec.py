"""Between the wire (protobuf) and the house's records. Total on records; decoding checks what the wire leaves open."""

from __future__ import annotations

from typing import Any, get_args

from materials.errors import UsageError
from materials.records import KINDS, OUTCOMES, AssignItem, Assignment, Candidate, Feature, Relation
from vector_index.proto import index_pb2 as pb

RELATIONS: tuple[Relation, ...] = get_args(Relation)
OPS = ("upsert", "delete")


def _one_of(value: str, allowed: tuple[Any, ...], field: str) -> Any:
    if value not in allowed:
        raise UsageError(f"{field} is {value!r}", f"one of {', '.join(allowed)}")
    return value


def item_to_wire(item: AssignItem) -> pb.Item:
    """One material with its evidence, parts nested."""
    message = pb.Item(
        material_id=item.material_id,
        kind=item.kind,
        policy=item.policy,
        fingerprint=item.fingerprint,
        revision=item.revision,
        text=item.text,
        parts=[item_to_wire(part) for part in item.parts],
        biz=item.biz,
        created_at=item.created_at,
        op=item.op,
    )
    for key, feature in item.features.items():
        wire = message.features[key]
        wire.schema, wire.dtype, wire.data = feature.schema, feature.dtype, feature.data
        wire.shape.extend(feature.shape)
    return message


def item_from_wire(message: pb.Item) -> AssignItem:
    """The record.

    Raises:
        UsageError: `kind` or `op` is none that we know.
    """
    return AssignItem(
        material_id=message.material_id,
        kind=_one_of(message.kind, KINDS, "kind"),
        policy=message.policy,
        fingerprint=message.fingerprint,
        revision=message.revision,
        features={
            key: Feature(schema=f.schema, dtype=f.dtype, shape=tuple(f.shape), data=f.data)
            for key, f in message.features.items()
        },
        text=message.text,
        parts=tuple(item_from_wire(part) for part in message.parts),
        biz=message.biz,
        created_at=message.created_at if message.HasField("created_at") else None,
        op=_one_of(message.op, OPS, "op"),
    )


def candidate_to_wire(candidate: Candidate) -> pb.Candidate:
    """One compared material."""
    message = pb.Candidate(
        material_id=candidate.material_id,
        score=candidate.score,
        relation=candidate.relation,
        recall_score=candidate.recall_score,
        ranker=candidate.ranker,
        content_id=candidate.content_id,
    )
    for q0, q1, r0, r1 in candidate.segments:
        message.segments.add(q0=q0, q1=q1, r0=r0, r1=r1)
    return message


def candidate_from_wire(message: pb.Candidate) -> Candidate:
    """The record."""
    return Candidate(
        material_id=message.material_id,
        score=message.score,
        relation=_one_of(message.relation, RELATIONS, "relation"),
        recall_score=message.recall_score,
        ranker=message.ranker,
        content_id=message.content_id,
        segments=tuple((s.q0, s.q1, s.r0, s.r1) for s in message.segments),
    )


def assignment_to_wire(assignment: Assignment) -> pb.Assignment:
    """What was decided, parts nested."""
    return pb.Assignment(
        material_id=assignment.material_id,
        kind=assignment.kind,
        outcome=assignment.outcome,
        content_id=assignment.content_id,
        revision=assignment.revision,
        matched=None if assignment.matched is None else candidate_to_wire(assignment.matched),
        candidates=[candidate_to_wire(candidate) for candidate in assignment.candidates],
        parts=[assignment_to_wire(part) for part in assignment.parts],
        replayed=assignment.replayed,
        reason=assignment.reason,
    )


def assignment_from_wire(message: pb.Assignment) -> Assignment:
    """The record."""
    return Assignment(
        material_id=message.material_id,
        kind=_one_of(message.kind, KINDS, "kind"),
        outcome=_one_of(message.outcome, OUTCOMES, "outcome"),
        content_id=message.content_id,
        revision=message.revision,
        matched=candidate_from_wire(message.matched) if message.HasField("matched") else None,
        candidates=tuple(candidate_from_wire(candidate) for candidate in message.candidates),
        parts=tuple(assignment_from_wire(part) for part in message.parts),
        replayed=message.replayed,
        reason=message.reason,
    )
