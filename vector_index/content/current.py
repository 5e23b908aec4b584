"""A stored answer holds the content ID as it was decided; a split may have given its material another one since."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from materials.records import Assignment
from vector_index.log import Log


def of_now(log: Log, answers: Sequence[Assignment | None], policy: str) -> list[Assignment | None]:
    """The answers with the content IDs of now, where they are other ones. Redirects are left to be resolved."""
    names = [one.material_id for answer in answers if answer is not None for one in (answer, *answer.parts)]
    places = log.clusters.places(policy, names)
    return [None if answer is None else _renamed(log, answer, places) for answer in answers]


def _renamed(log: Log, answer: Assignment, places: dict[str, tuple[str, int]]) -> Assignment:
    place = places.get(answer.material_id)
    parts = tuple(_renamed(log, part, places) for part in answer.parts)
    if place is not None and place[0] != answer.content_id and place[0] != log.clusters.resolve(answer.content_id):
        return replace(answer, content_id=place[0], parts=parts)
    return replace(answer, parts=parts) if parts != answer.parts else answer
