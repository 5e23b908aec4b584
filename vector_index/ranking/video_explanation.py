"""Two videos, measured for people: the line in time on which their frames agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.video import clip_of, relation_of
from vector_index.ranking.video_alignment import NOTHING, align, step_of
from vector_index.ranking.video_score import load_weights


def explain_videos(query: Evidence, reference: Evidence, recall: Recall) -> dict[str, Any]:  # noqa: ARG001
    """What was measured.

    Returns:
        `seconds` [query, reference]; where their frames agree on a line also `speed` (seconds of the reference in one
        of the query), `offset` (where the reference is at the query's 0 s), `segment` [q0, q1, r0, r1], `cover` (share
        of each that is matched), `cosine` (mean along the line), `usual_cosine` (of unrelated frames), `motion`
        (correlation of what moves, -1 to 1), `frames` (on the line).
    """
    ours, theirs = clip_of(query.features), clip_of(reference.features)
    if ours is None or theirs is None:
        return {}
    seconds = [round(float(clip.times[-1] - clip.times[0]) + step_of(clip.times), 2) for clip in (ours, theirs)]
    usual = load_weights().background
    found = align(ours, theirs, np.full(len(ours.times), usual, np.float32))
    if found is NOTHING:
        return {"seconds": seconds}
    return {
        "seconds": seconds,
        "speed": round(found.speed, 3),
        "offset": round(found.offset, 3),
        "segment": list(found.segment),
        "cover": [round(found.query_cover, 3), round(found.reference_cover, 3)],
        "cosine": round(found.cosine, 4),
        "usual_cosine": round(usual, 4),
        "motion": round(found.motion, 3),
        "frames": found.overlap,
        "relation": relation_of(found),
    }
