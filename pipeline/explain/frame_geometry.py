"""How one picture lies in another, by the affine map on which their keypoints agree."""

from __future__ import annotations

from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

Size = tuple[float, float]
"""Width and height, in any unit."""
_MARGIN = 1.02
"""Keypoints do not lie on the very edge."""


class Overlap(msgspec.Struct, frozen=True):
    """`kept`: share of the reference that the query shows. `filled`: share of the query that shows the reference.
    `outline`: float [4, 2], the reference's corners in the query, in units of its longer side."""

    kept: float
    filled: float
    outline: NDArray[np.float32]


def normalised(size: Size) -> Size:
    """In units of the longer side."""
    longer = max(size)
    return size[0] / longer, size[1] / longer


def extents(points: list[list[float]]) -> tuple[Size, Size]:
    """About how large query and reference are, when nobody knows: as far as their agreeing keypoints reach."""
    array = np.array(points, np.float32)
    ours, theirs = array[:, :2].max(axis=0) * _MARGIN, array[:, 2:].max(axis=0) * _MARGIN
    return (float(ours[0]), float(ours[1])), (float(theirs[0]), float(theirs[1]))


def overlap(evidence: dict[str, Any], query: Size | None, reference: Size | None) -> Overlap | None:
    """Where the reference lies in the query; None where their keypoints do not agree.

    Args:
        evidence: of `explain_images`.
        query: its size; estimated where it is not known.
        reference: the same.
    """
    if "map" not in evidence or not evidence.get("points"):
        return None
    guessed = extents(evidence["points"])
    width, height = normalised(query) if query else guessed[0]
    right, bottom = normalised(reference) if reference else guessed[1]
    matrix = np.array(evidence["map"], np.float32)
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32)
    outline = (corners @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    whole = abs(float(cv2.contourArea(outline)))
    if whole <= 0:
        return None
    shared, _ = cv2.intersectConvexConvex(cv2.convexHull(outline), cv2.convexHull(frame))
    return Overlap(min(1.0, float(shared) / whole), min(1.0, float(shared) / (width * height)), outline)
