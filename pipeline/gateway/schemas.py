"""Requests and answers of the gateway, as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from materials.records import Candidate
from pipeline.gateway.settings import MAX_IDS, MAX_K, MAX_TEXT

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}(/[0-9]{1,3})?$"
CONTENT_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}-[a-z2-7]{16}$"
POLICY_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}$"

MaterialId = Annotated[
    str, StringConstraints(pattern=ID_PATTERN), Field(description="As the producer chose it; a post's media: `P1/0`.")
]
ContentId = Annotated[str, StringConstraints(pattern=CONTENT_ID_PATTERN), Field(examples=["feed-abcdefghijklmnop"])]
PolicyName = Annotated[
    str, StringConstraints(pattern=POLICY_PATTERN), Field(description="Whose content IDs.", examples=["feed"])
]
KindName = Literal["image", "video", "post"]
OutcomeName = Literal["unique", "duplicate", "rejected", "dead", "deleted"]
RelationName = Literal["same", "related", "part_of", "contains", "overlaps"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LookupRequest(_Request):
    """Up to 1,000 materials."""

    policy: PolicyName = "feed"
    material_ids: Annotated[list[MaterialId], Field(min_length=1, max_length=MAX_IDS)]


class TextSearchRequest(_Request):
    """A text to look for."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    policy: PolicyName = "feed"
    k: Annotated[int, Field(ge=1, le=MAX_K)] = 10


class Match(BaseModel):
    """A material that was compared. `score`: probability that the two share content; `recall_score`: what recall said.
    `segments`: [q0, q1, r0, r1], seconds in the query and in this one."""

    material_id: str
    score: float
    recall_score: float
    relation: RelationName
    ranker: str
    content_id: str | None
    segments: list[tuple[float, float, float, float]] = []

    @classmethod
    def of(cls, candidate: Candidate) -> Match:
        """From the record."""
        return cls(
            material_id=candidate.material_id,
            score=candidate.score,
            recall_score=candidate.recall_score,
            relation=candidate.relation,
            ranker=candidate.ranker,
            content_id=candidate.content_id or None,
            segments=list(candidate.segments),
        )


class Part(BaseModel):
    """One medium of a post."""

    material_id: str
    kind: KindName
    outcome: OutcomeName
    content_id: str | None


class Material(BaseModel):
    """What was decided of a material.

    `content_id`: the one that it has now, after merges and splits; null when it is deleted or was refused.
    `decided_content_id`: the one that it was given then.
    """

    material_id: str
    policy: str
    kind: KindName | None
    revision: int
    outcome: OutcomeName
    content_id: str | None
    decided_content_id: str | None
    matched: Match | None = None
    parts: list[Part] = []
    reason: str | None = None


class Found(BaseModel):
    """One of a batch; `material` is null for an id that was never decided under the policy."""

    material_id: str
    material: Material | None


class LookupAnswer(BaseModel):
    """In the order of the request."""

    policy: str
    found: int
    results: list[Found]


class Evidence(BaseModel):
    """Why a material got its content ID: all it was compared with then, best first, also below the threshold."""

    material: Material
    candidates: list[Match]


class Content(BaseModel):
    """A content ID. `canonical`: itself, or what it was merged into; `members`: how many materials have it."""

    content_id: str
    canonical: str
    redirected: bool
    members: int


class Members(BaseModel):
    """A page of materials with one content ID, oldest first. `next`: the `after` of the next page, null on the last."""

    content_id: str
    canonical: str
    total: int
    material_ids: list[str]
    next: int | None


class SearchAnswer(BaseModel):
    """Stored materials that share content with what was sent, best first. Nothing was stored."""

    policy: str
    kind: KindName
    candidates: list[Match]


class Health(BaseModel):
    """`ok` when everything that answers need is there."""

    status: Literal["ok", "degraded"]
    parts: dict[str, str]
