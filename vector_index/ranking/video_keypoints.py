"""Do two videos' key frames show the same things, and at moments that fit? Local features, frame by frame.

A row of a feature of schema `timed-keypoints` is uint8 [56]: milliseconds as uint32 LE, then a keypoint as `geometry`
reads it. All rows of one time are one key frame.
"""

from __future__ import annotations

from math import sqrt
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
TENTH = 0.051
"""Seconds: half a step of the lines' offsets."""
SLACK = 1.2
"""Seconds between a key frame and the nearest moment that it may be matched with: key frames lie 1.5 s apart."""
MATCHED = 0.2
"""Saturated inliers from which a key frame counts as found in the other video."""
AT_ONCE, APART = 0.8, 1.2
"""Seconds up to which two key frames show one moment of a line of time, and from which they show two."""
LEAST_SPREAD = 0.02
"""Least standard deviation of agreement at other moments: no clip is cleaner than its rounding."""
CHOSEN = 2.0
"""Standard errors by which a line of any speed and offset must be clearer than the plain ones: the best of hundreds is
as clear by chance."""


class Lines(NamedTuple):
    """Lines r = speed * q + offset through pairs of key frames. `gap`: float64 [lines, query, reference], seconds
    from a key frame of the reference to where the line has the query's; `plain`: bool [lines], the speed is kept and
    both videos start, or end, together."""

    gap: NDArray[np.float64]
    plain: NDArray[np.bool_]


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
    `moment`: by how many standard errors key frames agree better at one moment than at others, see `moment_of`;
    `timed`: whether there are key frames enough to tell.
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
    moment: float = 0.0
    timed: bool = False


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
    share = np.array(
        [
            [sqrt(found.inliers / min(len(ours.xy), len(theirs.xy))) * found.explained for found, theirs in pairs]
            for ours, row in zip(query.frames, agreements, strict=True)
            for pairs in [list(zip(row, reference.frames, strict=True))]
        ]
    )
    lines = lines_of(query.times, reference.times)
    moment = moment_of(lines, np.where(strength > 0, share, 0.0))
    return LocalMatch(
        query_share=float(by_query.mean()),
        reference_share=float(by_reference.mean()),
        along=_along(lines, strength),
        best=float(strength.max()),
        static=float((strength[matched].mean(axis=1) / by_query[matched]) @ weight) if len(reference.frames) > 1 else 0,
        explained=float(np.array([one.explained for one in seen])[matched] @ weight),
        inside=float(np.array([one.inside for one in seen])[matched] @ weight),
        query_found=float((by_query >= MATCHED).mean()),
        reference_found=float((by_reference >= MATCHED).mean()),
        moment=moment or 0.0,
        timed=moment is not None,
    )


def saturated(found: Agreement) -> float:
    """0..1, from 0 where no more agrees than by chance. What a map explains of neither frame counts for less."""
    if found is NOTHING or found.inliers <= CHANCE:
        return 0.0
    return float(np.tanh((found.inliers - CHANCE) / SATURATED)) * found.explained


def lines_of(query: NDArray[np.float64], reference: NDArray[np.float64]) -> Lines:
    """All lines of `SPEEDS` through a pair of key frames, offsets in tenths of a second."""
    speeds = np.array(SPEEDS)
    offsets = np.round(reference[None, None] - speeds[:, None, None] * query[None, :, None], 1).reshape(len(speeds), -1)
    line = np.unique(np.stack([np.repeat(speeds, offsets.shape[1]), offsets.ravel()], axis=1), axis=0)
    gap = np.abs(reference[None, None] - (line[:, :1] * query[None] + line[:, 1:])[:, :, None])
    together = (gap[:, 0, 0] <= TENTH) | (gap[:, -1, -1] <= TENTH)
    return Lines(gap, (line[:, 0] == 1.0) & together)


def _along(lines: Lines, strength: NDArray[np.float64]) -> float:
    """Mean strength of the query's frames on the best line that goes through a matched pair."""
    through = ((lines.gap <= TENTH) & (strength >= MATCHED)).any(axis=(1, 2))
    if not through.any():
        return 0.0
    near = np.maximum(0.0, 1 - np.maximum(0.0, lines.gap[through] - 0.3) / SLACK)
    return float((strength * near).max(axis=2).mean(axis=1).max())


def moment_of(lines: Lines, share: NDArray[np.float64]) -> float | None:
    """How much more the key frames agree on a line of time than the clips agree at all, in standard errors, 0 for less;
    None where there are too few key frames to tell.

    What a static camera always shows makes all entries of a row or a column large; what moves makes those large that
    show one moment. So rows and columns are centred first. The best of the plain lines, or a chosen line that is
    clearer by `CHOSEN`.

    Args:
        share: float64 [query, reference], how much of two key frames agrees.
    """
    rows, columns = share.shape
    if rows < 2 or columns < 3:
        return None
    left = share - share.mean(axis=1, keepdims=True) - share.mean(axis=0, keepdims=True) + share.mean()
    on = (lines.gap <= AT_ONCE) & (lines.gap == lines.gap.min(axis=2, keepdims=True))
    off = (lines.gap > APART) & ~on
    ours, theirs = on.sum(axis=(1, 2)), off.sum(axis=(1, 2))
    usable = (ours >= max(2, min(rows, columns) / 2)) & (theirs >= 3)
    if not usable.any():
        return None
    on, off, ours, theirs = on[usable], off[usable], ours[usable], theirs[usable]
    there = (off * left).sum(axis=(1, 2)) / theirs
    spread = np.sqrt(np.maximum(0.0, (off * left**2).sum(axis=(1, 2)) / theirs - there**2))
    clear = ((on * left).sum(axis=(1, 2)) / ours - there) / np.maximum(LEAST_SPREAD, spread) * np.sqrt(ours)
    return float(max(0.0, np.where(lines.plain[usable], clear, clear - CHOSEN).max()))
