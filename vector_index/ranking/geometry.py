"""Do two pictures' keypoints agree on one affine map? Matching by ratio test, verification by RANSAC, both ways round.

A keypoint row is uint8 [52]: x, y as uint16 LE in 1/65535 of the picture's longer side, then int8 [48], a direction in
descriptor space. The last `ODD` components of a mirrored picture's descriptors have the other sign, so a mirrored copy
is looked for without a second extraction.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

ODD = 24
ROW_BYTES = 52
MIRROR_SIGNS: NDArray[np.float32] = np.array([1.0] * (ROW_BYTES - 4 - ODD) + [-1.0] * ODD, np.float32)
RATIO = 0.88
"""Distance to the nearest by distance to the second nearest descriptor, below which a match counts (Lowe 2004)."""
LEAST_COSINE = 0.65
TOLERANCE = 0.012
"""Reprojection error of an inlier, in units of the longer side."""
LEAST_MATCHES = 4
SHRINK, GROW, SKEW = 0.08, 8.0, 3.2
"""Singular values of a credible map: not below, not above, and their largest quotient."""
CHANCE = 7
"""As many places agree by chance now and then."""
CLEAR = 24
"""Inliers from which the mirrored way is not tried."""
MOVED = 0.25
"""Mean way of the reference's corners, in units of the longer side, from which two pictures do not coincide."""
EDGE = 0.02
"""Units of the longer side by which the overlap of two pictures is taken wider."""
REACH = 0.8
"""Radius around an inlier that counts as explained, in mean spacings of the inliers: 87 % of evenly strewn points."""
SUSPICIOUS = 0.8
SECOND_FROM, SECOND_INLIERS = 8, 7
"""A second map is looked for where neither picture is explained to `SUSPICIOUS`, beside a first of so many inliers, and
counts from so many of its own."""
Floats = NDArray[np.float32]


class Keypoints(NamedTuple):
    """`xy`: float32 [n, 2], units of the longer side; `descriptors`: float32 [n, 48], unit norm."""

    xy: Floats
    descriptors: Floats

    def mirrored(self) -> Keypoints:
        """As the mirrored picture's would be, but for the places: an affine map does not mind."""
        return Keypoints(self.xy, self.descriptors * MIRROR_SIGNS)


class Agreement(NamedTuple):
    """What RANSAC found. `inliers`: distinct places that agree; `share`: of the matches; `cells`: of an 8 x 8 grid on
    the reference that hold one; `area`: of the query's hull of inliers, in squared units of the longer side."""

    inliers: int = 0
    share: float = 0.0
    cells: int = 0
    area: float = 0.0
    mirrored: bool = False
    explained: float = 0.0
    explained_both: float = 0.0
    """Share of the keypoints where the two overlap that lie near an inlier: of the picture that is explained better,
    and of the other. Buttons and bars around two different pictures agree perfectly, and explain neither picture."""
    inside: float = 1.0
    """Share of the query's keypoints where the reference lies: little for a picture in a picture."""
    coincide: float = 0.0
    """1 where the map leaves everything in its place, 0 where it moves the corners by `MOVED` or more: pictures that
    coincide must look alike as wholes, crops and pastes need not."""
    parts: int = 1
    """Maps that were needed: a picture and the frame around it may each have moved in its own way."""


NOTHING = Agreement()


def unpack(rows: NDArray[np.uint8]) -> Keypoints:
    """The stored feature uint8 [n, 52], decoded.

    Raises:
        ValueError: another shape or dtype.
    """
    if rows.ndim != 2 or rows.shape[1] != ROW_BYTES or rows.dtype != np.uint8:
        raise ValueError(f"keypoints are uint8 (n, {ROW_BYTES}), not {rows.dtype} {rows.shape}")
    xy = np.ascontiguousarray(rows[:, :4]).view("<u2").astype(np.float32) / 65535
    descriptors = np.ascontiguousarray(rows[:, 4:]).view(np.int8).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True) + 1e-6
    return Keypoints(xy, descriptors)


def match(query: Keypoints, reference: Keypoints, ratio: float = RATIO) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of matching keypoints, each reference point at most once (by its best)."""
    cosine = query.descriptors @ reference.descriptors.T
    nearest = cosine.argmax(axis=1)
    best = cosine[np.arange(len(cosine)), nearest]
    chosen = np.flatnonzero(best > LEAST_COSINE)
    others, best = cosine[chosen], best[chosen]
    others[np.arange(len(chosen)), nearest[chosen]] = -1.0
    # the same place has a descriptor for each dominant angle: the second best must be another place
    second = others.max(axis=1)
    near = np.sqrt(np.maximum(2 - 2 * best, 0)) < ratio * np.sqrt(np.maximum(2 - 2 * second, 1e-9))
    chosen = chosen[near][np.argsort(-best[near], kind="stable")]
    place = np.full(len(reference.descriptors), len(chosen))  # where each reference point is matched first
    place[nearest[chosen[::-1]]] = np.arange(len(chosen))[::-1]
    chosen = chosen[np.sort(place[place < len(chosen)])]
    return chosen, nearest[chosen]


class _Fit(NamedTuple):
    """One affine map and what agrees on it. `ours`, `theirs`: indices of the agreeing keypoints."""

    matrix: NDArray[np.float64]
    ours: NDArray[np.intp]
    theirs: NDArray[np.intp]
    share: float


def _fit(
    query: Keypoints, reference: Keypoints, matches: tuple[NDArray[np.intp], NDArray[np.intp]], mirrored: bool
) -> _Fit | None:
    """The map from the reference to the query that most matches agree on; None where it is not credible."""
    ours, theirs = matches
    if len(ours) < LEAST_MATCHES:
        return None
    cv2.setRNGSeed(1)
    matrix, flags = cv2.estimateAffine2D(
        reference.xy[theirs],
        query.xy[ours],
        method=cv2.RANSAC,
        ransacReprojThreshold=TOLERANCE,
        maxIters=500,
        confidence=0.99,
        refineIters=3,
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None
    large, small, determinant = _stretch(matrix)
    if small < SHRINK or large > GROW or large > SKEW * small:
        return None
    if (determinant < 0) != mirrored:
        return None
    agree = flags.ravel() > 0
    return _Fit(matrix, ours[agree], theirs[agree], float(agree.mean()))


def _stretch(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """Singular values, the larger first, and determinant of a map [2, 3]: written out, a tenth of LAPACK's time."""
    (a, b, _), (c, d, _) = matrix.tolist()
    determinant, squares = a * d - b * c, a * a + b * b + c * c + d * d
    together = sqrt(squares + 2 * abs(determinant))
    apart = sqrt(max(squares - 2 * abs(determinant), 0.0))
    return (together + apart) / 2, (together - apart) / 2, determinant


def _places(points: Floats) -> int:
    """Distinct places: a keypoint has a row for each of its dominant angles."""
    return _distinct(np.rint(points * 200).astype(np.int64))


def _distinct(cells: NDArray[np.int64]) -> int:
    """Of cells [n, 2] on a grid of less than 2^31."""
    return len(set(((cells[:, 0] << 32) + cells[:, 1]).tolist()))


class _Found(NamedTuple):
    """The best map one way round."""

    inliers: int
    fit: _Fit
    matches: tuple[NDArray[np.intp], NDArray[np.intp]]
    mirrored: bool


def _verify(query: Keypoints, reference: Keypoints, mirrored: bool, least: int) -> _Found | None:
    matches = match(query.mirrored() if mirrored else query, reference)
    if len(matches[0]) < least:
        return None
    fit = _fit(query, reference, matches, mirrored)
    if fit is None:
        return None
    places = _places(reference.xy[fit.theirs])
    return _Found(places, fit, matches, mirrored) if places >= LEAST_MATCHES else None


def _near(points: Floats, witnesses: Floats, reach: float) -> float:
    """Share of the points [n, 2] that have a witness [m, 2] within `reach`; 1 for no points."""
    if not len(points):
        return 1.0
    gap = points[:, None, :] - witnesses[None, :, :]
    return float((np.einsum("nmk,nmk->nm", gap, gap).min(axis=1) <= reach * reach).mean())


def _explained(
    query: Keypoints, reference: Keypoints, fit: _Fit, ours: NDArray[np.intp], theirs: NDArray[np.intp]
) -> tuple[float, float, float]:
    """(query, reference): shares of the keypoints of their overlap that lie near an inlier; and of the query's
    keypoints, the share that lies in the overlap.

    `Near` is what evenly spread inliers would leave between them, so that few inliers all over a noisy copy explain
    it, and many inliers in a frame do not explain what it holds.
    """
    linear, shift = fit.matrix[:, :2], fit.matrix[:, 2]
    landed = (reference.xy @ linear.T + shift).astype(np.float32)
    low = np.maximum(query.xy.min(axis=0), landed.min(axis=0)) - EDGE
    high = np.minimum(query.xy.max(axis=0), landed.max(axis=0)) + EDGE
    here = query.xy[((query.xy >= low) & (query.xy <= high)).all(axis=1)]
    inside = ((landed >= low) & (landed <= high)).all(axis=1)
    sides = np.maximum(high - low, 2 * EDGE)
    count = max(1, _places(query.xy[ours]))
    reach = REACH * float(np.sqrt(sides[0] * sides[1] / count))
    # the reference's own places of the second map's inliers lie elsewhere under the first: measured where they belong
    there = reference.xy[inside]
    scale = sqrt(abs(_stretch(fit.matrix)[2])) or 1.0
    covered = _near(here, query.xy[ours], reach), _near(there, reference.xy[theirs], reach / scale)
    return *covered, len(here) / len(query.xy)


def _coincide(reference: Keypoints, matrix: NDArray[np.float64]) -> float:
    wide, tall = reference.xy.max(axis=0)
    corners = np.array([[0, 0], [wide, 0], [0, tall], [wide, tall]])
    way = np.linalg.norm(corners @ matrix[:, :2].T + matrix[:, 2] - corners, axis=1).mean()
    return max(0.0, 1 - float(way) / MOVED)


def agree(query: Keypoints, reference: Keypoints, least: int = LEAST_MATCHES) -> Agreement:
    """The better of both ways round. Deterministic: RANSAC's generator is seeded for each call.

    Args:
        least: matches below which no map is looked for, and places below which one says nothing.

    Where the best map leaves much of both pictures unexplained, a second one is looked for among the other matches:
    two screenshots of one picture in two sizes agree on their frame first.
    """
    if min(len(query.xy), len(reference.xy)) < LEAST_MATCHES:
        return NOTHING
    plain = _verify(query, reference, False, least)
    turned = None if plain is not None and plain.inliers >= CLEAR else _verify(query, reference, True, least)
    best = turned if plain is None or (turned is not None and turned.inliers > plain.inliers) else plain
    if best is None or best.inliers < least:
        return NOTHING
    fit, parts = best.fit, 1
    ours, theirs = fit.ours, fit.theirs
    explained = _explained(query, reference, fit, ours, theirs)
    if best.inliers >= SECOND_FROM and max(explained[:2]) < SUSPICIOUS:
        left = ~np.isin(best.matches[0], ours)
        second = _fit(query, reference, (best.matches[0][left], best.matches[1][left]), best.mirrored)
        if second is not None and _places(reference.xy[second.theirs]) >= SECOND_INLIERS:
            ours, theirs = np.concatenate([ours, second.ours]), np.concatenate([theirs, second.theirs])
            explained, parts = _explained(query, reference, fit, ours, theirs), 2
    source = reference.xy[theirs]
    return Agreement(
        inliers=_places(source),
        share=fit.share,
        cells=_distinct((source * 8).astype(np.int64)),
        area=float(cv2.contourArea(cv2.convexHull(query.xy[ours]))),
        mirrored=best.mirrored,
        explained=max(explained[:2]),
        explained_both=min(explained[:2]),
        inside=explained[2],
        coincide=_coincide(reference, fit.matrix),
        parts=parts,
    )
