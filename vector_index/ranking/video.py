"""Fine ranking of videos: align in time, measure, score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate, Features, Relation
from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.video_alignment import NOTHING, Alignment, Clip, align
from vector_index.ranking.video_score import VideoWeights, load_weights, measurements, probability

FEATURE = "video-embedding@1"
SAME_COVER = 0.6
"""Both clips matched to this share: they are the same video; a part of one is not."""
BACKGROUND_RANKS = slice(1, 8)
"""Of the other candidates' best cosines with a frame, sorted: the first may be a copy too."""
PRIOR_WEIGHT = 3.0
"""How many unrelated candidates the assumed background counts for."""


def clip_of(features: Features) -> Clip | None:
    """The frames of a material; None when it has none."""
    feature = features.get(FEATURE)
    if feature is None or len(feature.shape) != 2 or 0 in feature.shape or feature.shape[1] < 2:
        return None
    rows = feature.array()
    order = np.argsort(rows[:, 0], kind="stable")
    return Clip(times=rows[order, 0].astype(np.float64), vectors=np.ascontiguousarray(rows[order, 1:], np.float32))


def backgrounds(query: Clip, clips: Sequence[Clip], contents: Sequence[str], prior: float) -> list[NDArray[np.float32]]:
    """For each clip, what every query frame's cosine with *other* material is: float32 [nq].

    The mean over ranks 2 to 8 of the other contents' best frames, drawn towards `prior` where few are at hand. Clips of
    one content ID count once, so that a video posted often does not make its own background.
    """
    best: dict[str, NDArray[np.float32]] = {}
    for clip, content in zip(clips, contents, strict=True):
        peak = (query.vectors @ clip.vectors.T).max(axis=1)
        best[content] = np.maximum(best[content], peak) if content in best else peak
    found = {}
    for content in best:
        others = [peak for other, peak in best.items() if other != content]
        ranked = -np.sort(-np.array(others, np.float32).reshape(len(others), len(query.times)), axis=0)[
            BACKGROUND_RANKS
        ]
        total = ranked.sum(axis=0) + prior * PRIOR_WEIGHT
        found[content] = (total / (len(ranked) + PRIOR_WEIGHT)).astype(np.float32)
    return [found[content] for content in contents]


def relation_of(alignment: Alignment) -> Relation:
    """What the query is to the reference, by how much of each is matched."""
    whole_query, whole_reference = alignment.query_cover >= SAME_COVER, alignment.reference_cover >= SAME_COVER
    if whole_query and whole_reference:
        return "same"
    if whole_query:
        return "part_of"
    return "contains" if whole_reference else "overlaps"


class VideoAlignment:
    """Ranks by temporal alignment of frame embeddings (`video-embedding@1`). Pure and deterministic.

    Args:
        weights: the fitted scorer; the shipped one when not given.
    """

    name = "video-alignment@1"

    def __init__(self, weights: VideoWeights | None = None) -> None:
        self._weights = load_weights() if weights is None else weights

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        """One candidate each, in the order given; a material without frames scores 0."""
        clip = clip_of(query.features)
        recalled = {hit.material_id: hit.score for hit in recall.hits.get(FEATURE, ())}
        measured = {} if clip is None else self.measure(clip, candidates)
        ranked = []
        for number, candidate in enumerate(candidates):
            score, alignment = 0.0, measured.get(number, NOTHING)
            if alignment is not NOTHING:
                rivals = [other for n, other in measured.items() if content_of(candidates[n]) != content_of(candidate)]
                score = probability(self._weights, measurements(alignment, rivals))
            ranked.append(
                Candidate(
                    material_id=candidate.material_id,
                    score=score,
                    relation=relation_of(alignment) if alignment is not NOTHING else "overlaps",
                    recall_score=recalled.get(candidate.material_id, max(0.0, alignment.cosine)),
                    ranker=self.name,
                    content_id=candidate.content_id,
                    segments=(alignment.segment,) if alignment is not NOTHING else (),
                )
            )
        return ranked

    def measure(self, query: Clip, candidates: Sequence[Evidence]) -> dict[int, Alignment]:
        """Alignments by the candidate's number; candidates without frames are left out."""
        clips = {n: clip for n, candidate in enumerate(candidates) if (clip := clip_of(candidate.features)) is not None}
        contents = [content_of(candidates[n]) for n in clips]
        base = backgrounds(query, list(clips.values()), contents, self._weights.background)
        return {n: align(query, clip, level) for (n, clip), level in zip(clips.items(), base, strict=True)}


def content_of(evidence: Evidence) -> str:
    """Its content ID; a material that has none yet stands for itself."""
    return evidence.content_id or f"@{evidence.material_id}"
