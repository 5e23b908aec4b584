"""Temporal alignment of two clips from their frame embeddings alone.

A line r = speed * q + offset maps seconds of the query to seconds of the reference. Lines are proposed by a Hough vote
over (speed, offset), as Douze, Jégou & Schmid, "An image-based approach to video copy detection with spatio-temporal
post-filtering" (IEEE TMM 2010), once by frame similarity and once by *motion* (embeddings less the clip's own mean, so
that what stands still in both says nothing). Each proposed line is then measured exactly, frames interpolated:

- similarity: mean cosine along the line, less what the query's frames have in common with other material;
- motion: correlation of the two embedding curves along the line, both centred on the overlap. Two clips of one static
  camera are similar along any line and correlate along none.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SPEEDS = np.array([1.0, 0.5, 0.57, 0.67, 0.75, 0.8, 0.9, 1.11, 1.25, 1.33, 1.5, 1.75, 2.0])
VOTE_BIN = 0.25
"""Seconds of offset in one Hough cell."""
VOTE_FRAMES = 96
"""Longer clips vote with every n-th frame."""
LINES = 24
"""Lines proposed by each vote."""
EDGE = 0.26
"""Seconds that a line may reach beyond the reference's first and last frame: half a sampling step."""
MATCHED = 0.12
"""Normalised similarity from which a frame counts as matched."""
MIN_OVERLAP = 0.35
"""Share of the shorter clip that a line must cover."""
FULL_MOTION = 6.0
"""Frames from which a motion correlation is taken at its word."""


class Clip(msgspec.Struct, frozen=True):
    """Sampled frames of one video: `times` float64 [n], ascending seconds; `vectors` float32 [n, d], unit norm."""

    times: NDArray[np.float64]
    vectors: Floats


class Alignment(msgspec.Struct, frozen=True):
    """The best line of a pair and what was measured along it.

    `similarity`: mean normalised cosine; `cosine`: the same, raw; `motion`: correlation in -1..1, damped on short
    overlaps; `energy`: how much the query moves there (mean squared distance from its centre, 0..1); `overlap`: frames
    on the line; `query_cover` and `reference_cover`: matched share of each clip; `segment`: (q0, q1, r0, r1) seconds.
    `best_motion` and `best_similarity` are the highest of any proposed line.
    """

    speed: float
    offset: float
    similarity: float
    cosine: float
    motion: float
    energy: float
    overlap: int
    query_cover: float
    reference_cover: float
    best_motion: float
    best_similarity: float
    segment: tuple[float, float, float, float]


NOTHING = Alignment(1.0, 0.0, -1.0, -1.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, -1.0, (0.0, 0.0, 0.0, 0.0))


def step_of(times: NDArray[np.float64]) -> float:
    """Seconds between sampled frames (median); half a second for a single frame."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.5


def _with_half_of_the_neighbours(cells: NDArray[Any]) -> NDArray[np.float64]:
    return np.convolve(cells.astype(np.float64), [0.5, 1.0, 0.5], "same")


def _votes(weight: NDArray[Any], query: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The `LINES` strongest (speed, offset) cells, [k, 2], of a weight matrix [nq, nr]; ties break to the first."""
    q = np.linspace(0, len(query) - 1, min(len(query), VOTE_FRAMES)).astype(int)
    r = np.linspace(0, len(reference) - 1, min(len(reference), VOTE_FRAMES)).astype(int)
    weights, tq, tr = weight[np.ix_(q, r)].ravel().astype(np.float64), query[q], reference[r]
    found = []
    for speed in SPEEDS:
        offsets = (tr[None] - speed * tq[:, None]).ravel()
        low = offsets.min() - VOTE_BIN
        cells = ((offsets - low) / VOTE_BIN + 0.5).astype(np.int64)
        size = int(cells.max()) + 2
        votes = _with_half_of_the_neighbours(np.bincount(cells, weights, size))
        pairs = _with_half_of_the_neighbours(np.bincount(cells, minlength=size))
        score = votes / np.sqrt(pairs + 4)
        best = np.argsort(-score, kind="stable")[:LINES]
        found.append(np.column_stack([score[best], np.full(len(best), speed), low + best * VOTE_BIN]))
    every = np.concatenate(found)
    lines: NDArray[np.float64] = every[np.argsort(-every[:, 0], kind="stable")[:LINES], 1:]
    return lines


def propose(query: Clip, reference: Clip, normalised: Floats) -> NDArray[np.float64]:
    """Candidate lines (speed, offset), [k, 2], by similarity and by motion, without repetition."""
    by_similarity = _votes(np.maximum(normalised, 0) ** 2, query.times, reference.times)
    if min(len(query.times), len(reference.times)) < 3:
        lines = by_similarity
    else:
        moving = (query.vectors - query.vectors.mean(0)) @ (reference.vectors - reference.vectors.mean(0)).T
        lines = np.concatenate([by_similarity, _votes(moving, query.times, reference.times)])
    ends = [[1.0, reference.times[0] - query.times[0]], [1.0, reference.times[-1] - query.times[-1]]]
    distinct: NDArray[np.float64] = np.unique(np.concatenate([lines, ends]), axis=0)
    return distinct


def align(query: Clip, reference: Clip, background: Floats) -> Alignment:
    """Measure the pair along its best line.

    Args:
        query: at least one frame.
        reference: at least one frame.
        background: float32 [nq], what each query frame's cosine with unrelated material is.
    """
    cosine = query.vectors @ reference.vectors.T
    lines = propose(query, reference, cosine - background[:, None])
    return _measure(query, reference, cosine, background, lines)


def _measure(query: Clip, reference: Clip, cosine: Floats, background: Floats, lines: NDArray[np.float64]) -> Alignment:
    tq, tr = query.times, reference.times
    nq, nr = len(tq), len(tr)
    at = lines[:, :1] * tq[None] + lines[:, 1:]  # [lines, nq]: seconds in the reference
    inside = (at >= tr[0] - EDGE) & (at <= tr[-1] + EDGE)
    count = inside.sum(1)
    spans = np.maximum(1.0, nr * step_of(tr) / (lines[:, 0] * step_of(tq)))
    keep = count >= np.maximum(1.0, MIN_OVERLAP * np.minimum(nq, spans))
    if not keep.any():
        return NOTHING
    lines, at, inside, count = lines[keep], at[keep], inside[keep], count[keep].astype(np.float64)
    left = np.clip(np.searchsorted(tr, at, side="right") - 1, 0, max(0, nr - 2))
    right = np.minimum(left + 1, nr - 1)
    gap = np.where(right > left, tr[right] - tr[left], 1.0)
    share = np.clip((at - tr[left]) / gap, 0.0, 1.0)

    # y = (1 - share) r[left] + share r[right]: all its products are sums of entries of two Gram matrices
    gram = reference.vectors @ reference.vectors.T
    rows = np.arange(nq)[None]
    xy = (1 - share) * cosine[rows, left] + share * cosine[rows, right]
    yy = (
        (1 - share) ** 2 * gram[left, left]
        + share**2 * gram[right, right]
        + 2 * share * (1 - share) * gram[left, right]
    )
    along = xy / np.sqrt(np.maximum(yy, 1e-6))
    normalised = np.where(inside, along - background[None], 0.0)
    similarity = normalised.sum(1) / count

    mask = inside.astype(np.float64)
    taken = np.zeros((len(lines), nr))
    which = np.broadcast_to(np.arange(len(lines))[:, None], left.shape)
    np.add.at(taken, (which, left), mask * (1 - share))
    np.add.at(taken, (which, right), mask * share)
    own = query.vectors @ query.vectors.T
    mean_xy = ((mask @ cosine) * taken).sum(1) / count
    var_x = count - ((mask @ own) * mask).sum(1) / count
    var_y = (yy * mask).sum(1) - ((taken @ gram) * taken).sum(1) / count
    covariance = (xy * mask).sum(1) - mean_xy
    damping = np.sqrt(np.minimum(1.0, count / FULL_MOTION))
    motion = np.where(
        count >= 3, damping * covariance / np.sqrt(np.maximum(var_x * var_y, 0) + (0.003 * count) ** 2), 0
    )

    covered = np.sqrt(np.minimum(1.0, count / np.maximum(1.0, np.minimum(nq, spans[keep]))))
    outside = (np.maximum(np.maximum(tr[0] - at, at - tr[-1]), 0) * mask).sum(1) / count
    plain = 0.03 * np.abs(np.log(lines[:, 0])) + 0.02 * outside  # of equals, the line that claims least
    best = int(np.argmax(covered * (similarity + 0.6 * motion) - plain))
    return _describe(query, reference, lines[best], at[best], inside[best], normalised[best], Measured(
        similarity=float(similarity[best]),
        cosine=float((along[best] * mask[best]).sum() / count[best]),
        motion=float(motion[best]),
        energy=float(max(var_x[best], 0.0) / count[best]),
        best_motion=float((covered * motion).max()),
        best_similarity=float((covered * similarity).max()),
    ))  # fmt: skip


class Measured(msgspec.Struct, frozen=True):
    """What was measured along one line; see `Alignment`."""

    similarity: float
    cosine: float
    motion: float
    energy: float
    best_motion: float
    best_similarity: float


def _describe(
    query: Clip,
    reference: Clip,
    line: NDArray[np.float64],
    at: NDArray[np.float64],
    inside: NDArray[np.bool_],
    normalised: NDArray[np.float64],
    measured: Measured,
) -> Alignment:
    """Coverage and segment: a frame is matched above `MATCHED`, or above half of the line's best frames."""
    tq, tr = query.times, reference.times
    strong = np.sort(normalised[inside])[-max(1, int(inside.sum()) // 2) :].mean()
    matched = inside & (normalised >= min(MATCHED, 0.5 * max(strong, 0.0)))
    speed, offset = float(line[0]), float(line[1])
    step_q, step_r = step_of(tq), step_of(tr)
    if not matched.any():
        matched = inside
    low, high = float(tr[0]), float(tr[-1]) + step_r
    first, last = np.flatnonzero(matched)[[0, -1]]
    q0, q1 = float(tq[first]), float(tq[last]) + step_q
    r0, r1 = np.clip([at[first], at[last] + speed * step_q], low, high)
    seen = min(high - low, speed * step_q * int(matched.sum()))
    return Alignment(
        speed=speed,
        offset=offset,
        similarity=measured.similarity,
        cosine=measured.cosine,
        motion=measured.motion,
        energy=measured.energy,
        overlap=int(inside.sum()),
        query_cover=float(matched.sum() / len(tq)),
        reference_cover=float(min(1.0, seen / (high - low))),
        best_motion=measured.best_motion,
        best_similarity=measured.best_similarity,
        segment=(round(q0, 3), round(q1, 3), round(float(r0), 3), round(float(r1), 3)),
    )
