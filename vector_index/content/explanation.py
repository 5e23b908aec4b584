"""What is known of a pair of materials, as the index can tell it: numbers, decisions, verdicts. Sentences and pictures
are made of it elsewhere."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from materials.records import Kind, Relation, Segment

State = Literal["stored", "deleted", "unknown", "other_policy"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two.

    `content_id`: the canonical one that it has now. `decided_as`: the one that it was given. `role`: in its cluster.
    `media`: of a post, (material id of the part, kind, canonical content ID). `size`: members of its content ID.
    """

    material_id: str
    state: State
    kind: Kind | None = None
    revision: int = 0
    content_id: str = ""
    decided_as: str = ""
    role: Literal["", "centre", "exemplar", "member"] = ""
    size: int = 0
    age: int = 0
    text: str = ""
    media: list[tuple[str, str, str]] = []
    policies: list[str] = []


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A link of the way that joins the two: `material_id` was matched with `other`. By a person: `who` and `why`."""

    material_id: str
    other: str
    score: float
    ranker: str = ""
    who: str = ""
    why: str = ""
    merged: str = ""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The pair as its ranker sees it now, `query` (the younger) against `reference` (the older).

    `rank`: its place among what recall finds for the query, 0 when recall does not find it. `evidence`: by ranker; see
    `vector_index.ranking.explanations`.
    """

    query: str
    reference: str
    score: float
    relation: Relation
    ranker: str
    recall_score: float
    rank: int = 0
    segments: tuple[Segment, ...] = ()
    evidence: dict[str, Any] = {}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that bears on the two; `direct` where it is on themselves."""

    one: str
    other: str
    verdict: Literal["same", "different"]
    who: str
    why: str
    at: float
    direct: bool


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why two materials share a content ID under a policy, or do not.

    `same`: they share one. `needed`: the score from which a centre is joined; `needed_member`: an exemplar.
    `decided`: the score of the pair when one of them was decided, None where it was not compared then.
    `path`: from one to the other through what each was matched with, where they share an ID.
    `parts`: of two posts, their media compared with each other. `split`: that a person split one's ID off the other's.
    """

    one: Side
    other: Side
    policy: str
    same: bool
    needed: float = 0.0
    needed_member: float = 0.0
    decided: float | None = None
    judged: Judged | None = None
    verdicts: list[Said] = []
    path: list[Step] = []
    parts: list[Judged] = []
    split: str = ""
