"""What a post's media may be copies of though they share no content ID with it: read off the decisions on them."""

from __future__ import annotations

from collections.abc import Sequence

from materials.records import Assignment, Candidate
from vector_index.log import Log
from vector_index.ranking.post import LEAST_NEAR
from vector_index.ranking.protocol import Near


def near_media(log: Log, policy: str, parts: Sequence[Assignment]) -> tuple[Near, ...]:
    """The other content that each medium was compared with and may be a copy of, by the content IDs of now.

    Args:
        parts: the decisions on a post's media, in order. What a person declared different from one is left out.
    """
    found = [(place, part, candidate) for place, part in enumerate(parts) for candidate in _likely(part)]
    if not found:
        return ()
    now = log.clusters.places(policy, {candidate.material_id for _, _, candidate in found})
    near: dict[tuple[int, str], float] = {}
    for place, part, candidate in found:
        content_id = now.get(candidate.material_id, ("", 0))[0]
        if content_id and content_id != part.content_id and not _barred(log, policy, part, candidate):
            near[place, content_id] = max(candidate.score, near.get((place, content_id), 0.0))
    return tuple(Near(place, content_id, score) for (place, content_id), score in near.items())


def near_media_of_stored(log: Log, policy: str, material_id: str) -> tuple[Near, ...]:
    """The same of a post that is stored."""
    decided = log.latest(material_id, policy)
    return () if decided is None else near_media(log, policy, decided.parts)


def _likely(part: Assignment) -> list[Candidate]:
    return [
        candidate
        for candidate in part.candidates
        if candidate.relation == "same" and candidate.score >= LEAST_NEAR and candidate.content_id != part.content_id
    ]


def _barred(log: Log, policy: str, part: Assignment, candidate: Candidate) -> bool:
    if not log.verdicts.knows(policy, part.material_id):
        return False
    apart = log.verdicts.kept_apart(policy, log.verdicts.group(policy, part.material_id))
    return candidate.material_id in apart
