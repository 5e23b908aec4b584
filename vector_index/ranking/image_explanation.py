"""Two pictures, measured for people: embeddings, hashes, and the one affine map on which their keypoints agree."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vector_index.ranking import image_evidence as measure
from vector_index.ranking.geometry import LEAST_MATCHES, TOLERANCE, Keypoints, match
from vector_index.ranking.image_evidence import EMBEDDING, LOCAL
from vector_index.ranking.protocol import Evidence, Recall

SHOWN = 80
"""Agreeing keypoints that are named, spread over all of them."""
_FLIP = np.diag([-1.0, 1.0])


def explain_images(query: Evidence, reference: Evidence, recall: Recall) -> dict[str, Any]:
    """What was measured.

    Returns:
        `cosine`, `usual_cosine` (what the query's other hits reach); `pdq`, `pdq_turned` (bits of 256 that differ, as
        they are and over the eight turns); `votes`, `usual_votes`; `keypoints` [query, reference]; and what
        `agreement` tells.
    """
    ours, theirs = measure.picture(query.features), measure.picture(reference.features, query.features)
    told: dict[str, Any] = {}
    if ours.embedding is not None and theirs.embedding is not None:
        told["cosine"] = round(measure.cosine(ours, theirs), 4)
        hits = recall.hits.get(measure.space_of(query.features, EMBEDDING), ())
        others = [hit.score for hit in hits if hit.material_id != reference.material_id][1:6]
        if others:
            told["usual_cosine"] = round(sum(others) / len(others), 4)
    if ours.bits is not None and theirs.bits is not None:
        told["pdq"], told["pdq_turned"] = measure.hamming(ours, theirs)
        told["pdq_quality"] = [ours.quality, theirs.quality]
    votes = {hit.material_id: hit.score for hit in recall.hits.get(measure.space_of(query.features, LOCAL), ())}
    if reference.material_id in votes:
        told["votes"] = round(votes[reference.material_id], 2)
    if ours.keypoints is not None and theirs.keypoints is not None:
        told["keypoints"] = [len(ours.keypoints.xy), len(theirs.keypoints.xy)]
        told |= agreement(ours.keypoints, theirs.keypoints)
    return told


def agreement(query: Keypoints, reference: Keypoints) -> dict[str, Any]:
    """The better of both ways round.

    Returns:
        `matches` (pairs of keypoints that look alike), `inliers` (of them those that one map explains), `mirrored`,
        `rotation` (degrees, anticlockwise as seen), `scale` (of the query against the reference), `map` (float [2, 3],
        reference -> query, both in units of their longer sides), `points` ([query x, y, reference x, y], some).
        Only `matches` and `inliers` 0 where nothing agrees.
    """
    ways = [_fit(query, reference, mirrored) for mirrored in (False, True)]
    return max(ways, key=lambda way: int(way["inliers"]))


def _fit(query: Keypoints, reference: Keypoints, mirrored: bool) -> dict[str, Any]:
    if min(len(query.xy), len(reference.xy)) < LEAST_MATCHES:
        return {"matches": 0, "inliers": 0}
    ours, theirs = match(query.mirrored() if mirrored else query, reference)
    nothing = {"matches": len(ours), "inliers": 0}
    if len(ours) < LEAST_MATCHES:
        return nothing
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
        return nothing
    determinant = float(np.linalg.det(matrix[:, :2]))
    if (determinant < 0) != mirrored or abs(determinant) < 1e-4:
        return nothing
    agree = np.flatnonzero(flags.ravel() > 0)
    scale, rotation = decomposed(matrix)
    shown = agree[np.linspace(0, len(agree) - 1, min(SHOWN, len(agree))).astype(int)]
    return {
        "matches": len(ours),
        "inliers": len(agree),
        "mirrored": mirrored,
        "rotation": round(rotation, 2),
        "scale": round(scale, 3),
        "map": np.round(matrix, 5).tolist(),
        "points": np.round(np.concatenate([target[shown], source[shown]], axis=1), 4).tolist(),
    }


def decomposed(matrix: NDArray[np.float64]) -> tuple[float, float]:
    """(scale, degrees anticlockwise as seen) of the similarity nearest to an affine map float [2, 3]; a mirroring is
    taken out first, about the upright axis."""
    linear = matrix[:, :2]
    if np.linalg.det(linear) < 0:
        linear = linear @ _FLIP
    left, sizes, right = np.linalg.svd(linear)
    turn = left @ right
    return float(sizes.mean()), -math.degrees(math.atan2(turn[1, 0], turn[0, 0]))
