"""Do two pictures' keypoints agree on one affine map? Matching by ratio test, verification by RANSAC, both ways round.

A keypoint row is uint8 [52]: x, y as uint16 LE in 1/65535 of the picture's longer side, then int8 [48], a direction in
descriptor space. The last `ODD` components of a mirrored picture's descriptors have the other sign, so a mirrored copy
is looked for without a second extraction.
"""

from __future__ import annotations

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
    rows = np.arange(len(cosine))
    nearest = cosine.argmax(axis=1)
    best = cosine[rows, nearest]
    cosine[rows, nearest] = -1.0
    # the same place has a descriptor for each dominant angle: the second best must be another place
    second = cosine.max(axis=1)
    near = np.sqrt(np.maximum(2 - 2 * best, 0)) < ratio * np.sqrt(np.maximum(2 - 2 * second, 1e-9))
    chosen = np.flatnonzero(near & (best > LEAST_COSINE))
    chosen = chosen[np.argsort(-best[chosen], kind="stable")]
    _, first = np.unique(nearest[chosen], return_index=True)
    chosen = chosen[np.sort(first)]
    return chosen, nearest[chosen]


def _verify(query: Keypoints, reference: Keypoints, mirrored: bool) -> Agreement:
    ours, theirs = match(query.mirrored() if mirrored else query, reference)
    if len(ours) < LEAST_MATCHES:
        return NOTHING
    source, target = reference.xy[theirs], query.xy[ours]
    cv2.setRNGSeed(1)
    matrix, flags = cv2.estimateAffine2D(
        source,
        target,
        method=cv2.RANSAC,
        ransacReprojThreshold=TOLERANCE,
        maxIters=500,
        confidence=0.99,
        refineIters=3,
    )
    if matrix is None or not np.isfinite(matrix).all():
        return NOTHING
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if small < SHRINK or large > GROW or large > SKEW * small:
        return NOTHING
    if bool(np.linalg.det(matrix[:, :2]) < 0) != mirrored:
        return NOTHING
    agree = flags.ravel() > 0
    places = np.unique(np.rint(source[agree] * 200).astype(np.int64), axis=0)
    if len(places) < LEAST_MATCHES:
        return NOTHING
    cells = len(np.unique((source[agree] * 8).astype(np.int64), axis=0))
    area = float(cv2.contourArea(cv2.convexHull(target[agree])))
    return Agreement(len(places), float(agree.mean()), cells, area, mirrored)


def agree(query: Keypoints, reference: Keypoints) -> Agreement:
    """The better of both ways round. Deterministic: RANSAC's generator is seeded for each call."""
    if min(len(query.xy), len(reference.xy)) < LEAST_MATCHES:
        return NOTHING
    return max(_verify(query, reference, False), _verify(query, reference, True), key=lambda found: found.inliers)
