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
        features = {} if clip is None else self.measure(clip, candidates)
        ranked = []
        for number, candidate in enumerate(candidates):
            alignment, row = features.get(number, (NOTHING, None))
            found = row is not None and alignment is not NOTHING
            ranked.append(
                Candidate(
                    material_id=candidate.material_id,
                    score=probability(self._weights, row) if found and row is not None else 0.0,
                    relation=relation_of(alignment),
                    recall_score=recalled.get(candidate.material_id, max(0.0, alignment.cosine)),
                    ranker=self.name,
                    content_id=candidate.content_id,
                    segments=(alignment.segment,) if found else (),
                )
            )
        return ranked

    def measure(self, query: Clip, candidates: Sequence[Evidence]) -> dict[int, tuple[Alignment, NDArray[np.float64]]]:
        """Alignment and features by the candidate's number; candidates without frames are left out."""
        clips = {n: clip for n, candidate in enumerate(candidates) if (clip := clip_of(candidate.features)) is not None}
        contents = [content_of(candidates[n]) for n in clips]
        base = backgrounds(query, list(clips.values()), contents, self._weights.background)
        aligned = [align(query, clip, level) for clip, level in zip(clips.values(), base, strict=True)]
        return dict(zip(clips, zip(aligned, features_of(aligned, contents), strict=True), strict=True))


def features_of(aligned: Sequence[Alignment], contents: Sequence[str]) -> list[NDArray[np.float64]]:
    """Each pair's features, seen beside the query's other candidates."""
    similarity = best_of_others([a.best_similarity for a in aligned], contents)
    motion = best_of_others([a.best_motion for a in aligned], contents)
    return [measurements(a, similarity[n], motion[n]) for n, a in enumerate(aligned)]


def best_of_others(values: Sequence[float], contents: Sequence[str]) -> list[float]:
    """For each value the highest one of other contents; -1 where there is none."""
    best: dict[str, float] = {}
    for value, content in zip(values, contents, strict=True):
        best[content] = max(value, best.get(content, -1.0))
    top = sorted(best, key=lambda content: -best[content])[:2]
    first = best[top[0]] if top else -1.0
    second = best[top[1]] if len(top) > 1 else -1.0
    return [second if content == top[0] else first for content in contents]


def content_of(evidence: Evidence) -> str:
    """Its content ID; a material that has none yet stands for itself."""
    return evidence.content_id or f"@{evidence.material_id}"
