"""`post-rule@2`: two posts are the same when their media match both ways and their texts do.

Media match by content ID, which the index gave them before their post is ranked. Beside a text of 12 characters or
more that is a copy, media also match that are *likely* copies of each other, though not likely enough to share a
content ID alone: of a post's media each has its chance to fall short, and the text speaks for all of them.

| media | texts | relation | score |
|---|---|---|---|
| none, none | any | same | the text ranker's |
| equal sets | match | same | both hold |
| alike both ways | copies of 12 characters or more | same | the weakest medium's, given the texts |
| equal sets | another text of 12 characters or more | related | the media are shared |
| some in common | any | related | grows with the common share |
| nothing in common, or on one side only | any | related | the text ranker's, less for short texts |
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from materials.records import Candidate, Relation
from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.text import FAINT, NEVER, TextContainment, text_recall
from vector_index.ranking.text_pair import TextProfile, profile_of

NAME: Final = "post-rule@2"
SHORT: Final = 12
"""Normalised characters from which a text says something of its own; shorter ones are remarks."""
MEDIA_AGREE: Final = 0.98
"""Probability that materials of one content ID are near-duplicates: the precision that policies are set to."""
EQUAL: Final = 0.995
"""Probability for texts that are equal, or are a remark and none."""
LIKELIER: Final = 20.0
"""Odds by which a medium is more likely a copy beside a copied text: of the candidates that an image's score is
calibrated on one in twenty is a copy, of the media of two posts with one text every second at least."""
_ALONE: Final[Relation] = "same"
"""What two texts without media are judged for."""
LEAST_NEAR: Final = 1 / (1 + LIKELIER)
"""Scores of media below this are no match beside any text."""


Medium = tuple[str, str]
"""(kind, content ID)."""
Media = frozenset[Medium]
NearMedia = Mapping[Medium, Mapping[Medium, float]]


class _Post(msgspec.Struct, frozen=True):
    """A post, read once. `media`: (kind, content ID) of each medium that has one; `complete`: every medium has one.
    `near`: by one of `media`, its scores with other content of its kind."""

    raw: str
    profile: TextProfile
    media: Media
    has_media: bool
    complete: bool
    near: NearMedia

    @classmethod
    def of(cls, evidence: Evidence) -> _Post:
        media = frozenset((kind, content_id) for kind, content_id in evidence.parts if content_id)
        near: dict[Medium, dict[Medium, float]] = {}
        for one in evidence.near:
            medium = evidence.parts[one.place]
            scores, other = near.setdefault(medium, {}), (medium[0], one.content_id)
            scores[other] = max(one.score, scores.get(other, 0.0))
        return cls(
            raw=" ".join(unicodedata.normalize("NFKC", evidence.text).split()),
            profile=profile_of(evidence.text),
            media=media,
            has_media=bool(evidence.parts),
            complete=all(content_id for _, content_id in evidence.parts),
            near=near,
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
            score, relation = NEVER, _ALONE
            if asked.has_media or candidate.parts or found.get(candidate.material_id, 1.0) >= FAINT:
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
            return texts, _ALONE
        common = one.media & other.media
        if one.complete and other.complete:
            if one.media == other.media:
                agree = self._remarks_agree(one, other, texts)
                return (MEDIA_AGREE * agree, "same") if agree >= 0.5 else (MEDIA_AGREE, "related")
            if texts >= 0.5 and not one.short and not other.short:
                both = texts * media_alike(one.media, other.media, one.near, other.near)
                if both >= 0.5:
                    return both, "same"
        if not common:
            return texts * _substance(one, other), "related"
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


def media_alike(one: Media, other: Media, near_one: NearMedia, near_other: NearMedia) -> float:
    """Probability, beside a copied text, that each medium of both sides is a copy of one of the other side: of the
    medium for which that is least likely."""
    if not one or not other:
        return 0.0
    likely = {
        (ours, theirs): _likely(ours, theirs, near_one.get(ours, {}), near_other.get(theirs, {}))
        for ours in one
        for theirs in other
    }
    there = min(max(likely[ours, theirs] for theirs in other) for ours in one)
    back = min(max(likely[ours, theirs] for ours in one) for theirs in other)
    return min(there, back)


def _likely(ours: Medium, theirs: Medium, of_ours: Mapping[Medium, float], of_theirs: Mapping[Medium, float]) -> float:
    if ours == theirs:
        return MEDIA_AGREE
    score = min(MEDIA_AGREE, max(of_ours.get(theirs, 0.0), of_theirs.get(ours, 0.0)))
    odds = LIKELIER * score / (1 - score)
    return min(MEDIA_AGREE, odds / (1 + odds))


def _substance(one: _Post, other: _Post) -> float:
    """0..1: how much of a post its text is; two posts that share `早安` share nothing."""
    return min(1.0, min(len(one.profile.normal), len(other.profile.normal)) / SHORT)
