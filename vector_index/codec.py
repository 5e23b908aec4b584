"""Between the wire (protobuf) and the house's records. Total on records; decoding checks what the wire leaves open.

Messages are filled in place (`into`): a message that is given to another's constructor is copied, by way of its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from materials.errors import UsageError
from materials.records import KINDS, OUTCOMES, AssignItem, Assignment, Candidate, Feature, Features, Relation
from vector_index.enrichment import Enrichment, Lacking
from vector_index.proto import index_pb2 as pb
from vector_index.where import Where

RELATIONS: tuple[Relation, ...] = get_args(Relation)
OPS = ("upsert", "delete")


def _one_of(value: str, allowed: tuple[Any, ...], field: str) -> Any:
    if value not in allowed:
        raise UsageError(f"{field} is {value!r}", f"one of {', '.join(allowed)}")
    return value


def item_to_wire(item: AssignItem, into: pb.Item | None = None) -> pb.Item:
    """One material with its evidence, parts nested."""
    message = pb.Item() if into is None else into
    message.material_id = item.material_id
    message.kind = item.kind
    message.policy = item.policy
    message.fingerprint = item.fingerprint
    message.revision = item.revision
    message.text = item.text
    message.biz = item.biz
    message.op = item.op
    if item.created_at is not None:
        message.created_at = item.created_at
    _fill_features(message.features, item.features)
    for part in item.parts:
        item_to_wire(part, message.parts.add())
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
        features=_features(message.features),
        text=message.text,
        parts=tuple([item_from_wire(part) for part in message.parts]),
        biz=message.biz,
        created_at=message.created_at if message.HasField("created_at") else None,
        op=_one_of(message.op, OPS, "op"),
    )


def _fill_features(wire_features: Any, features: Features) -> None:
    for key, feature in features.items():
        wire = wire_features[key]
        wire.schema, wire.dtype, wire.data = feature.schema, feature.dtype, feature.data
        wire.shape.extend(feature.shape)


def _features(wire_features: Any) -> Features:
    return {
        key: Feature(schema=f.schema, dtype=f.dtype, shape=tuple(f.shape), data=f.data)
        for key, f in wire_features.items()
    }


def enrich_request(items: Iterable[Enrichment]) -> pb.EnrichRequest:
    """One call of `Enrich`."""
    request = pb.EnrichRequest()
    for item in items:
        wire = request.items.add(material_id=item.material_id, revision=item.revision)
        _fill_features(wire.features, item.features)
    return request


def enrichments(request: pb.EnrichRequest) -> list[Enrichment]:
    """The records of a call."""
    return [Enrichment(item.material_id, item.revision, _features(item.features)) for item in request.items]


def lacking_from_wire(response: pb.LackingResponse) -> list[Lacking]:
    """One page."""
    return [
        Lacking(one.row, one.material_id, _one_of(one.kind, KINDS, "kind"), one.revision) for one in response.materials
    ]


def candidate_to_wire(candidate: Candidate) -> pb.Candidate:
    """One compared material."""
    message = pb.Candidate()
    _fill_candidate(message, candidate)
    return message


def _fill_candidate(message: pb.Candidate, candidate: Candidate) -> None:
    message.material_id = candidate.material_id
    message.score = candidate.score
    message.relation = candidate.relation
    message.recall_score = candidate.recall_score
    message.ranker = candidate.ranker
    message.content_id = candidate.content_id
    for q0, q1, r0, r1 in candidate.segments:
        message.segments.add(q0=q0, q1=q1, r0=r0, r1=r1)


def candidate_from_wire(message: pb.Candidate) -> Candidate:
    """The record."""
    segments = message.segments
    return Candidate(
        material_id=message.material_id,
        score=message.score,
        relation=_one_of(message.relation, RELATIONS, "relation"),
        recall_score=message.recall_score,
        ranker=message.ranker,
        content_id=message.content_id,
        segments=tuple([(s.q0, s.q1, s.r0, s.r1) for s in segments]) if segments else (),
    )


def assignment_to_wire(assignment: Assignment, into: pb.Assignment | None = None) -> pb.Assignment:
    """What was decided, parts nested."""
    message = pb.Assignment() if into is None else into
    message.material_id = assignment.material_id
    message.kind = assignment.kind
    message.outcome = assignment.outcome
    message.content_id = assignment.content_id
    message.revision = assignment.revision
    message.replayed = assignment.replayed
    message.reason = assignment.reason
    if assignment.matched is not None:
        message.matched.SetInParent()
        _fill_candidate(message.matched, assignment.matched)
    for candidate in assignment.candidates:
        _fill_candidate(message.candidates.add(), candidate)
    for part in assignment.parts:
        assignment_to_wire(part, message.parts.add())
    return message


def assignment_from_wire(message: pb.Assignment) -> Assignment:
    """The record."""
    return Assignment(
        material_id=message.material_id,
        kind=_one_of(message.kind, KINDS, "kind"),
        outcome=_one_of(message.outcome, OUTCOMES, "outcome"),
        content_id=message.content_id,
        revision=message.revision,
        matched=candidate_from_wire(message.matched) if message.HasField("matched") else None,
        candidates=tuple([candidate_from_wire(candidate) for candidate in message.candidates]),
        parts=tuple([assignment_from_wire(part) for part in message.parts]),
        replayed=message.replayed,
        reason=message.reason,
    )


def search_request(item: AssignItem, k: int, where: Where) -> pb.SearchRequest:
    """One search."""
    request = pb.SearchRequest(k=k, biz=where.biz)
    item_to_wire(item, request.item)
    if where.since is not None:
        request.since = where.since
    if where.until is not None:
        request.until = where.until
    return request


def where_from_wire(request: pb.SearchRequest) -> Where:
    """What a search may answer."""
    return Where(
        biz=tuple(request.biz),
        since=request.since if request.HasField("since") else None,
        until=request.until if request.HasField("until") else None,
    )


def assign_request(items: Iterable[AssignItem]) -> pb.AssignRequest:
    """One call of `Assign`."""
    request = pb.AssignRequest()
    for item in items:
        item_to_wire(item, request.items.add())
    return request


def assign_response(assignments: Iterable[Assignment]) -> pb.AssignResponse:
    """Its answer."""
    response = pb.AssignResponse()
    for assignment in assignments:
        assignment_to_wire(assignment, response.assignments.add())
    return response
