"""Do two videos' key frames show the same things, and at moments that fit? Local features, frame by frame.

A row of a feature of schema `timed-keypoints` is uint8 [56]: milliseconds as uint32 LE, then a keypoint as `geometry`
reads it. All rows of one time are one key frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from materials.records import Features
from vector_index.ranking.geometry import CHANCE, NOTHING, Agreement, Keypoints, agree, unpack

FEATURE = "video-local@1"
STAMP_BYTES = 4
ROW_BYTES = 56
MOST_FRAMES = 8
"""Key frames of the query that are compared, evenly spread."""
LEAST_POINTS = 8
"""Keypoints below which a frame says nothing."""
SATURATED = 20.0
"""Inliers beyond chance at which a pair of frames counts as matched by three quarters."""
SPEEDS = (1.0, 0.5, 0.67, 0.75, 0.9, 1.11, 1.33, 1.5, 2.0)
SLACK = 1.2
"""Seconds between a key frame and the nearest moment that it may be matched with: key frames lie 1.5 s apart."""
MATCHED = 0.2
"""Saturated inliers from which a key frame counts as found in the other video."""


class KeyFrames(NamedTuple):
    """`times`: float64 [k], seconds, ascending; `frames`: their keypoints."""

    times: NDArray[np.float64]
    frames: tuple[Keypoints, ...]


class LocalMatch(NamedTuple):
    """What key frames say of a pair; all 0 where they say nothing.

    `query_share`, `reference_share`: mean saturated inliers of each video's key frames with the best of the other's;
    `along`: the same of the query on the best line of time; `best`: the highest; `static`: how much a query's frame
    matches *all* moments of the reference, 0..1: a static camera's background says nothing of the moment.
    `explained`, `inside`: means over the query's matched frames, see `geometry.Agreement`.
    `query_found`, `reference_found`: shares of the key frames that are found at all.
    """

    query_share: float = 0.0
    reference_share: float = 0.0
    along: float = 0.0
    best: float = 0.0
    static: float = 0.0
    explained: float = 0.0
    inside: float = 1.0
    query_found: float = 0.0
    reference_found: float = 0.0


SILENT = LocalMatch()


def key_frames_of(features: Features) -> KeyFrames | None:
    """The key frames that have keypoints enough; None where the feature is missing or has another shape."""
    feature = features.get(FEATURE)
    if feature is None or feature.dtype != "uint8" or len(feature.shape) != 2 or feature.shape[1] != ROW_BYTES:
        return None
    rows = feature.array()
    stamps = np.ascontiguousarray(rows[:, :STAMP_BYTES]).view("<u4").ravel()
    times, frames = [], []
    for stamp in np.unique(stamps):
        chosen = np.ascontiguousarray(rows[stamps == stamp, STAMP_BYTES:])
        if len(chosen) >= LEAST_POINTS:
            times.append(float(stamp) / 1000)
            frames.append(unpack(chosen))
    return KeyFrames(np.array(times, np.float64), tuple(frames))


def thinned(frames: KeyFrames, most: int = MOST_FRAMES) -> KeyFrames:
    """At most `most` of them, evenly spread."""
    if len(frames.frames) <= most:
        return frames
    chosen = np.linspace(0, len(frames.frames) - 1, most).round().astype(int)
    return KeyFrames(frames.times[chosen], tuple(frames.frames[n] for n in chosen))


def compare(query: KeyFrames, reference: KeyFrames) -> LocalMatch:
    """Every key frame of the query (thinned) against every one of the reference, then the best line of time."""
    query = thinned(query)
    if not query.frames or not reference.frames:
        return SILENT
    agreements = [[agree(ours, theirs, CHANCE + 1) for theirs in reference.frames] for ours in query.frames]
    strength = np.array([[saturated(found) for found in row] for row in agreements])
    if not strength.any():
        return SILENT
    by_query, by_reference = strength.max(axis=1), strength.max(axis=0)
    seen = [row[int(best)] for row, best in zip(agreements, strength.argmax(axis=1), strict=True)]
    matched = by_query > 0
    weight = by_query[matched] / by_query[matched].sum()
    return LocalMatch(
        query_share=float(by_query.mean()),
        reference_share=float(by_reference.mean()),
        along=_along(query.times, reference.times, strength),
        best=float(strength.max()),
        static=float((strength[matched].mean(axis=1) / by_query[matched]) @ weight) if len(reference.frames) > 1 else 0,
        explained=float(np.array([one.explained for one in seen])[matched] @ weight),
        inside=float(np.array([one.inside for one in seen])[matched] @ weight),
        query_found=float((by_query >= MATCHED).mean()),
        reference_found=float((by_reference >= MATCHED).mean()),
    )


def saturated(found: Agreement) -> float:
    """0..1, from 0 where no more agrees than by chance. What a map explains of neither frame counts for less."""
    if found is NOTHING or found.inliers <= CHANCE:
        return 0.0
    return float(np.tanh((found.inliers - CHANCE) / SATURATED)) * found.explained


def _along(query: NDArray[np.float64], reference: NDArray[np.float64], strength: NDArray[np.float64]) -> float:
    """Mean strength of the query's frames on the best line r = speed * q + offset through any matched pair."""
    best = 0.0
    pairs = np.argwhere(strength >= MATCHED)
    if not len(pairs):
        return 0.0
    for speed in SPEEDS:
        for offset in np.unique(np.round(reference[pairs[:, 1]] - speed * query[pairs[:, 0]], 1)):
            gap = np.abs(reference[None] - (speed * query[:, None] + offset))
            near = np.maximum(0.0, 1 - np.maximum(0.0, gap - 0.3) / SLACK)
            best = max(best, float((strength * near).max(axis=1).mean()))
    return best
