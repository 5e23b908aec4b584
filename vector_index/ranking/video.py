"""Fine ranking of videos: align in time, measure, score; local features of key frames where the answer is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate, Features, Relation
from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.video_alignment import NOTHING, Alignment, Clip, align
from vector_index.ranking.video_fusion import FusionWeights, fused, fused_columns, load_fusion
from vector_index.ranking.video_keypoints import SILENT, LocalMatch, compare, key_frames_of
from vector_index.ranking.video_score import VideoWeights, load_weights, measurements, probability

FEATURE = "video-embedding@1"
SAME_COVER = 0.6
"""Both clips matched to this share: they are the same video; a part of one is not."""
BACKGROUND_RANKS = slice(1, 8)
"""Of the other candidates' best cosines with a frame, sorted: the first may be a copy too."""
LOOKED_AT = 4
"""Candidates whose key frames are compared, the most promising first: some 10 ms each for a clip of eight seconds."""
WHOLE_INSIDE = 0.55
"""Share of the query's keypoints where the reference lies, below which the reference is a part of the picture."""
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


def relation_of(alignment: Alignment, local: LocalMatch = SILENT) -> Relation:
    """What the query is to the reference, by how much of each is matched: in time, and within the picture."""
    of_query = max(alignment.query_cover, local.query_found)
    of_reference = max(alignment.reference_cover, local.reference_found)
    whole_query, whole_reference = of_query >= SAME_COVER, of_reference >= SAME_COVER
    if whole_query and whole_reference:
        # a picture in a picture: all of the reference is there, and something else around it
        return "contains" if local.best and local.inside < WHOLE_INSIDE else "same"
    if whole_query:
        return "part_of"
    return "contains" if whole_reference else "overlaps"


class VideoAlignment:
    """Ranks by temporal alignment of frame embeddings (`video-embedding@1`), and by the local features of key frames
    (`video-local@1`) where both videos have them. Pure and deterministic.

    Args:
        weights: the fitted scorer of alignments; the shipped one when not given.
        fusion: the fitted scorer of alignments and local features together; the shipped one when not given.
        looked_at: candidates whose key frames are compared.
    """

    name = "video-alignment@3"

    def __init__(
        self,
        weights: VideoWeights | None = None,
        fusion: FusionWeights | None = None,
        looked_at: int = LOOKED_AT,
    ) -> None:
        self._weights = load_weights() if weights is None else weights
        self._fusion = load_fusion() if fusion is None else fusion
        self._looked_at = looked_at

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        """One candidate each, in the order given; a material without frames scores 0."""
        clip = clip_of(query.features)
        recalled = {hit.material_id: hit.score for hit in recall.hits.get(FEATURE, ())}
        features = {} if clip is None else self.measure(clip, candidates)
        scores = {
            number: probability(self._weights, row)
            for number, (alignment, row) in features.items()
            if alignment is not NOTHING
        }
        local = self.local(query, candidates, scores)
        rival = rivals(local, candidates)
        ranked = []
        for number, candidate in enumerate(candidates):
            alignment = features[number][0] if number in features else NOTHING
            seen, score = local.get(number), scores.get(number, 0.0)
            if seen is not None and number in scores:
                score = fused(self._fusion, fused_columns(score, alignment.motion, seen, rival[number]))
            ranked.append(
                Candidate(
                    material_id=candidate.material_id,
                    score=score,
                    relation=relation_of(alignment, seen or SILENT),
                    recall_score=recalled.get(candidate.material_id, max(0.0, alignment.cosine)),
                    ranker=self.name,
                    content_id=candidate.content_id,
                    segments=(alignment.segment,) if number in scores else (),
                )
            )
        return ranked

    def local(
        self, query: Evidence, candidates: Sequence[Evidence], scores: Mapping[int, float]
    ) -> dict[int, LocalMatch]:
        """What the key frames of the most promising candidates say, by the candidate's number.

        Args:
            scores: by the candidate's number, what the alignment alone gives.
        """
        frames = key_frames_of(query.features)
        if frames is None or not frames.frames:
            return {}
        found: dict[int, LocalMatch] = {}
        for place, number in enumerate(sorted(scores, key=lambda n: (-scores[n], n))):
            theirs = key_frames_of(candidates[number].features)
            if theirs is not None:
                # who is not looked at must not stand before those who were, and found wanting
                found[number] = compare(frames, theirs) if place < self._looked_at else SILENT
        return found

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


def rivals(local: Mapping[int, LocalMatch], candidates: Sequence[Evidence]) -> dict[int, float]:
    """By the candidate's number, the highest `along` of the query with other content."""
    along = [max(0.0, match.along) for match in local.values()]
    others = best_of_others(along, [content_of(candidates[number]) for number in local])
    return {number: max(0.0, value) for number, value in zip(local, others, strict=True)}


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
