"""`post-rule@1`: two posts are the same when their media match both ways and their texts do.

Media are compared by content ID, which the index gave them before their post is ranked.

| media | texts | relation | score |
|---|---|---|---|
| none, none | any | same | the text ranker's |
| equal sets | match | same | both hold |
| equal sets | another text of 12 characters or more | related | the media are shared |
| some in common | any | related | grows with the common share |
| nothing in common, or on one side only | any | related | the text ranker's, less for short texts |
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

import msgspec

from materials.records import Candidate, Relation
from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.text import NEVER, TextContainment, text_recall
from vector_index.ranking.text_pair import TextProfile

NAME: Final = "post-rule@1"
SHORT: Final = 12
"""Normalised characters from which a text says something of its own; shorter ones are remarks."""
MEDIA_AGREE: Final = 0.98
"""Probability that materials of one content ID are near-duplicates: the precision that policies are set to."""
EQUAL: Final = 0.995
"""Probability for texts that are equal, or are a remark and none."""


class _Post(msgspec.Struct, frozen=True):
    """A post, read once. `media`: (kind, content ID) of each medium that has one; `complete`: every medium has one."""

    raw: str
    profile: TextProfile
    media: frozenset[tuple[str, str]]
    has_media: bool
    complete: bool

    @classmethod
    def of(cls, evidence: Evidence) -> _Post:
        media = frozenset((kind, content_id) for kind, content_id in evidence.parts if content_id)
        return cls(
            raw=" ".join(unicodedata.normalize("NFKC", evidence.text).split()),
            profile=TextProfile.of(evidence.text),
            media=media,
            has_media=bool(evidence.parts),
            complete=all(content_id for _, content_id in evidence.parts),
        )

    @property
    def short(self) -> bool:
        return len(self.profile.normal) < SHORT


class PostRule:
    """Fine ranker of posts. Symmetric.

    Args:
        text: the ranker of their texts; default the shipped one.
    """

    name = NAME

    def __init__(self, text: TextContainment | None = None) -> None:
        self._text = text or TextContainment()

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        """Score each candidate. A medium without a content ID (it was rejected) matches nothing."""
        asked = _Post.of(query)
        found = text_recall(recall)
        ranked = []
        for candidate in candidates:
            score, relation = self._judge(asked, _Post.of(candidate))
            ranked.append(
                Candidate(
                    material_id=candidate.material_id,
                    content_id=candidate.content_id,
                    score=score,
                    relation=relation,
                    recall_score=found.get(candidate.material_id, 0.0),
                    ranker=self.name,
                )
            )
        return ranked

    def _judge(self, one: _Post, other: _Post) -> tuple[float, Relation]:
        texts = self._texts_agree(one, other)
        if not one.has_media and not other.has_media:
            return texts, "same"
        common = one.media & other.media
        if not common:
            return texts * _substance(one, other), "related"
        if one.media == other.media and one.complete and other.complete:
            agree = self._remarks_agree(one, other, texts)
            return (MEDIA_AGREE * agree, "same") if agree >= 0.5 else (MEDIA_AGREE, "related")
        share = len(common) / max(len(one.media), len(other.media))
        return max(MEDIA_AGREE * (0.5 + 0.5 * share), texts * _substance(one, other)), "related"

    def _texts_agree(self, one: _Post, other: _Post) -> float:
        """Probability that the texts are copies. What has no letters (`😂😂`) is compared as it is."""
        if one.raw and one.raw == other.raw:
            return EQUAL
        if not one.profile.normal or not other.profile.normal:
            return NEVER
        if one.profile.normal == other.profile.normal and one.profile.numbers == other.profile.numbers:
            return EQUAL
        return self._text.probability(one.profile, other.profile)

    def _remarks_agree(self, one: _Post, other: _Post, texts: float) -> float:
        """The same under equal media, where a remark beside no text at all says nothing against a copy."""
        empty = not one.profile.normal or not other.profile.normal
        return EQUAL if empty and one.short and other.short else texts


def _substance(one: _Post, other: _Post) -> float:
    """0..1: how much of a post its text is; two posts that share `早安` share nothing."""
    return min(1.0, min(len(one.profile.normal), len(other.profile.normal)) / SHORT)
