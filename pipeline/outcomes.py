"""From an index's `Assignment` to the outcome record of an input line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from materials.records import Assignment, Candidate, Features, Outcome, OutcomeKind
from pipeline.envelope import Envelope


def assigned(
    envelope: Envelope,
    assignment: Assignment,
    features: Features,
    attempts: int,
    now: float,
    missing: Mapping[str, Mapping[str, str]] | None = None,
) -> Outcome:
    """The outcome of a material that the index took.

    Args:
        features: its own.
        missing: of it and of its parts: material id -> `plugin@version` -> why that feature is not there.
    """
    missing = missing or {}
    own = references(envelope.material_id, features)
    return Outcome(
        material_id=envelope.material_id,
        revision=envelope.revision,
        kind=envelope.kind,
        outcome=assignment.outcome,
        content_id=assignment.content_id or None,
        matched=_match(assignment.matched),
        parts=[_part(part) | _marks(missing.get(part.material_id, {})) for part in assignment.parts],
        candidates=[_candidate(candidate) for candidate in assignment.candidates],
        features=own | {key: {"missing": why} for key, why in missing.get(envelope.material_id, {}).items()},
        reason=assignment.reason or None,
        attempts=attempts,
        latency_ms=_latency(envelope, now),
        trace_id=envelope.trace_id,
    )


def ended(envelope: Envelope, outcome: OutcomeKind, reason: str, attempts: int, now: float) -> Outcome:
    """The outcome of a material that never reached an assignment."""
    return Outcome(
        material_id=envelope.material_id,
        revision=envelope.revision,
        kind=envelope.kind,
        outcome=outcome,
        reason=reason,
        attempts=attempts,
        latency_ms=_latency(envelope, now),
        trace_id=envelope.trace_id,
    )


def references(material_id: str, features: Features) -> dict[str, Any]:
    """Where each feature lies in Redis, with its shape: values stay out of the stream."""
    return {
        key: {"schema": f.schema, "dtype": f.dtype, "shape": list(f.shape), "redis": f"sosie:feat:{material_id}"}
        for key, f in features.items()
    }


def _marks(missing: Mapping[str, str]) -> dict[str, Any]:
    return {"missing": dict(missing)} if missing else {}


def _latency(envelope: Envelope, now: float) -> float:
    return round(max(0.0, now - envelope.entered_at) * 1000.0, 1)


def _match(candidate: Candidate | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {
        "material_id": candidate.material_id,
        "score": round(candidate.score, 6),
        "recall_score": round(candidate.recall_score, 6),
        "ranker": candidate.ranker,
        "relation": candidate.relation,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "material_id": candidate.material_id,
        "score": round(candidate.score, 6),
        "relation": candidate.relation,
        "segments": [list(segment) for segment in candidate.segments],
    }


def _part(assignment: Assignment) -> dict[str, Any]:
    return {
        "material_id": assignment.material_id,
        "outcome": assignment.outcome,
        "content_id": assignment.content_id or None,
        "matched": _match(assignment.matched),
    }
