"""Local features of a still: SIFT keypoints (Lowe 2004) as RootSIFT (Arandjelovic, Zisserman 2012) in 48 bytes each.

Mirroring a picture permutes its SIFT descriptors: the 4 x 4 grid of gradient histograms is turned upside down and each
histogram's angles change sign. The permutation is an involution, so every vector is the sum of a symmetric part
(unchanged) and an antisymmetric part (negated). The projection here is a principal component analysis within each part,
half of the components from either: the descriptor of the mirrored picture is the stored one with the signs of the last
`ODD` components flipped. No picture is looked at twice, and nothing travels twice.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 192
COMPONENTS = 48
ODD = 24
"""The last 24 components change sign when the picture is mirrored."""
ROW_BYTES = 4 + COMPONENTS
LONGER_SIDE = 400
SHORTEST_LONGER_SIDE = 256
"""Smaller pictures are enlarged to this: SIFT finds next to nothing in thumbnails."""
CONTRAST = 0.02
QUANTUM = 254.0
"""A component of 0.5 of the unit vector is the largest that int8 keeps; hardly any is larger."""
FLOATS = NDArray[np.float32]

MIRROR: NDArray[np.intp] = (
    np.arange(128, dtype=np.intp).reshape(4, 4, 8)[::-1][:, :, (8 - np.arange(8)) % 8].reshape(128).copy()
)
"""`descriptor[MIRROR]` is the mirrored picture's descriptor: rows reversed, angles negated."""


class Basis(NamedTuple):
    """`mean`: float32 [128]; `axes`: float32 [128, 48], the even ones first."""

    mean: FLOATS
    axes: FLOATS


class Points(NamedTuple):
    """`xy`: float32 [n, 2] in units of the longer side; `descriptors`: float32 [n, 128], RootSIFT, unit norm."""

    xy: FLOATS
    descriptors: FLOATS


@cache
def fitted_basis() -> Basis:
    """The shipped projection, made by `benchmarks/fit/local_features.py`."""
    path = files("model_plugins.features") / "data" / "sift_basis.npz"
    with path.open("rb") as stream, np.load(stream) as data:
        return Basis(data["mean"].astype(np.float32), data["axes"].astype(np.float32))


def fit_basis(descriptors: FLOATS) -> Basis:
    """Principal components of descriptors [n, 128] and their mirrored twins, within each symmetry.

    The mean of a set that is closed under mirroring is symmetric, so subtracting it keeps the symmetry.
    """
    doubled = np.concatenate([descriptors, descriptors[:, MIRROR]]).astype(np.float64)
    mean = doubled.mean(axis=0)
    centred = doubled - mean
    covariance = centred.T @ centred / len(centred)
    first = np.array([i for i in range(128) if i < MIRROR[i]])
    axes = []
    for sign, wanted in ((1.0, COMPONENTS - ODD), (-1.0, ODD)):
        part = np.zeros((128, len(first)))
        part[first, np.arange(len(first))] = np.sqrt(0.5)
        part[MIRROR[first], np.arange(len(first))] = sign * np.sqrt(0.5)
        _, vectors = np.linalg.eigh(part.T @ covariance @ part)
        axes.append(part @ vectors[:, ::-1][:, :wanted])
    return Basis(mean.astype(np.float32), np.concatenate(axes, axis=1).astype(np.float32))


def resized(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at the scale that keypoints are looked for in."""
    longer = max(grey.shape)
    wanted = min(LONGER_SIDE, max(SHORTEST_LONGER_SIDE, longer))
    if wanted == longer:
        return grey
    size = tuple(max(1, round(side * wanted / longer)) for side in grey.shape[::-1])
    how = cv2.INTER_AREA if wanted < longer else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=how), np.uint8)


def detect(rgb: NDArray[np.uint8], limit: int = MAX_POINTS) -> Points:
    """The `limit` keypoints of strongest response; rgb uint8 [h, w, 3]."""
    grey = resized(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8))
    find: Any = cv2.SIFT_create  # type: ignore[attr-defined]  # absent from OpenCV's stubs
    found, raw = find(limit, contrastThreshold=CONTRAST).detectAndCompute(grey, None)
    if not found:
        return Points(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    order = sorted(range(len(found)), key=lambda i: (-found[i].response, found[i].pt, found[i].angle))[:limit]
    chosen, raw = [found[i] for i in order], raw[order]
    xy = np.array([point.pt for point in chosen], np.float32) / max(grey.shape)
    root = np.sqrt(raw / (raw.sum(axis=1, keepdims=True) + 1e-6))
    return Points(xy, root.astype(np.float32))


def project(descriptors: FLOATS, basis: Basis) -> NDArray[np.int8]:
    """RootSIFT [n, 128] -> int8 [n, 48]: unit vectors in the basis, in steps of 1/254."""
    low = (descriptors - basis.mean) @ basis.axes
    low /= np.linalg.norm(low, axis=1, keepdims=True) + 1e-9
    return np.asarray(np.clip(np.rint(low * QUANTUM), -127, 127), np.int8)


def pack(points: Points, basis: Basis) -> NDArray[np.uint8]:
    """The feature: uint8 [n, 52] (x, y as uint16 LE in 1/65535 of the longer side, then int8 [48])."""
    rows = np.empty((len(points.xy), ROW_BYTES), np.uint8)
    place = np.clip(np.rint(points.xy * 65535), 0, 65535).astype("<u2")
    rows[:, :4] = np.ascontiguousarray(place).view(np.uint8).reshape(-1, 4)
    rows[:, 4:] = project(points.descriptors, basis).view(np.uint8)
    return rows
