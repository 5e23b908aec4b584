"""Finding the logos of a bank in a picture: SIFT, votes, one geometry for all votes, and a look at the pixels.

The descriptors are those of `local` (RootSIFT), looked for at a larger size, since logos are small. A logo is found
where enough of its points agree on one similarity transform (Lowe 2004) **and** the region, warped back into the
logo's own square, correlates with it: corners of letters agree on geometry by chance, pixels do not.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from materials.errors import UsageError
from model_plugins.features.local import FLOATS

Grey = NDArray[np.uint8]

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
SIDE: Final = 96
"""Logos are compared pixel by pixel at this size."""
BANK_SIDES: Final = (192, 64)
"""Sizes at which a logo's points are taken: fine and coarse details differ."""
LONGER_SIDE: Final = 800
MAX_POINTS: Final = 1_500
RATIO: Final = 0.85
"""Lowe's ratio, between the best logo's nearest descriptor and another logo's."""
MIN_VOTES: Final = 5
MIN_INLIERS: Final = 5
MIN_CORRELATION: Final = 0.6
SMALLEST: Final = 24.0
"""Pixels of the working picture: what is smaller has too few pixels to be told."""
_REPROJECTION: Final = 0.04
"""Of the logo's side."""
_INVERTED: Final = (False, True)


class Found(NamedTuple):
    """`corners`: float64 [4, 2], the logo's square in units of the picture's longer side. `score`: correlation 0..1."""

    name: str
    score: float
    inliers: int
    corners: NDArray[np.float64]


class Bank(NamedTuple):
    """`xy` float32 [n, 2] in units of the logo's side, `descriptors` float32 [n, 128] and `owner` int [n] by point;
    `faces`: float32 [logos, 96, 96], mean 0 and norm 1."""

    names: tuple[str, ...]
    xy: FLOATS
    descriptors: FLOATS
    owner: NDArray[np.int64]
    faces: FLOATS


def check_bank(folder: Path) -> list[Path]:
    """The pictures of a bank, by name.

    Raises:
        UsageError: no such folder, or no picture in it.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise UsageError(f"{folder} holds no logos", "name a folder of pictures, one logo each")
    return paths


@lru_cache(maxsize=4)
def read_bank(folder: Path) -> Bank:
    """Every picture of a folder is a logo, named by its file (without suffix); transparent means white.

    Raises:
        UsageError: no such folder, no picture in it, or one that cannot be read.
    """
    paths = check_bank(folder)
    faces, xy, descriptors, owner = [], [], [], []
    for number, path in enumerate(paths):
        face = _square(path)
        small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        faces.append(_standard(small))
        for side in BANK_SIDES:
            for inverted in _INVERTED:  # a white logo on a dark ground has its gradients turned round
                size = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
                points, found = _sift(np.asarray(255 - size if inverted else size, np.uint8), 0)
                xy.append(points / side)
                descriptors.append(found)
                owner.append(np.full(len(points), number, np.int64))
    return Bank(
        tuple(path.stem for path in paths),
        np.concatenate(xy),
        np.concatenate(descriptors),
        np.concatenate(owner),
        np.stack(faces),
    )


def find(rgb: NDArray[np.uint8], bank: Bank) -> list[Found]:
    """The bank's logos in a picture, best first; each at most once. rgb uint8 [h, w, 3]."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    scale = LONGER_SIDE / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    xy, descriptors = _sift(grey, MAX_POINTS)
    if len(xy) < MIN_VOTES:
        return []
    found = []
    rows, points = _votes(descriptors, bank)
    for number, name in enumerate(bank.names):
        mine = bank.owner[points] == number
        if mine.sum() < MIN_VOTES:
            continue
        placed = _place(bank.xy[points[mine]], xy[rows[mine]])
        if placed is None:
            continue
        transform, inliers = placed
        score = abs(_correlation(grey, transform, bank.faces[number]))
        if score >= MIN_CORRELATION:
            corners = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) @ transform.T / max(grey.shape)
            found.append(Found(name, score, inliers, corners))
    return sorted(found, key=lambda one: (-one.score, one.name))


def _votes(descriptors: FLOATS, bank: Bank) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(rows of the picture, points of the bank) that match better than any point of another logo."""
    similar = descriptors @ bank.descriptors.T
    best = similar.argmax(axis=1)
    top = similar[np.arange(len(best)), best]
    starts = np.flatnonzero(np.r_[True, np.diff(bank.owner) != 0])
    if len(starts) < 2:
        good = top > 0.8
    else:
        by_logo = np.maximum.reduceat(similar, starts, axis=1)
        second = np.partition(by_logo, -2, axis=1)[:, -2]
        good = np.sqrt(np.maximum(0, 2 - 2 * top)) < RATIO * np.sqrt(np.maximum(0, 2 - 2 * second))
    rows = np.flatnonzero(good)
    return rows, best[rows]


def _place(logo: FLOATS, picture: FLOATS) -> tuple[NDArray[np.float64], int] | None:
    """The transform [2, 3] from the logo's unit square to pixels, and how many distinct places bear it out."""
    cv2.setRNGSeed(1)
    spread = float(np.ptp(picture, axis=0).max())
    threshold = max(2.0, _REPROJECTION * spread)
    found, flags = cv2.estimateAffinePartial2D(logo, picture, ransacReprojThreshold=threshold, maxIters=2000)
    if found is None:
        return None
    chosen = flags.ravel().astype(bool)
    places = {tuple(place) for place in np.round(logo[chosen] * 32).astype(int).tolist()}
    side = float(np.hypot(found[0, 0], found[1, 0]))
    if len(places) < MIN_INLIERS or not SMALLEST <= side <= 2 * LONGER_SIDE:
        return None
    return np.asarray(found, np.float64), len(places)


def _correlation(grey: Grey, transform: NDArray[np.float64], face: FLOATS) -> float:
    """Of the region, warped into the logo's square, with the logo: -1..1. The picture's edge is drawn out."""
    to_picture = transform @ np.array([[1 / SIDE, 0, 0], [0, 1 / SIDE, 0], [0, 0, 1]])
    region = cv2.warpAffine(
        grey, to_picture, (SIDE, SIDE), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return float((_standard(region.astype(np.float32)) * face).sum())


def _standard(values: FLOATS) -> FLOATS:
    """Blurred a little (a pixel's shift is no difference), mean 0, norm 1."""
    smooth = cv2.GaussianBlur(values, (0, 0), 1.2)
    smooth = smooth - smooth.mean()
    return np.asarray(smooth / (np.linalg.norm(smooth) + 1e-6), np.float32)


def _square(path: Path) -> Grey:
    """A logo file as a grey square with a white margin."""
    raw: Any = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise UsageError(f"{path} is no picture", "leave it out of the folder of logos")
    if raw.ndim == 3 and raw.shape[2] == 4:
        alpha = raw[:, :, 3:].astype(np.float32) / 255
        raw = (raw[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    grey = cv2.cvtColor(raw, cv2.COLOR_BGR2GRAY) if raw.ndim == 3 else raw
    side = round(max(grey.shape) * 1.1)
    top, left = (side - grey.shape[0]) // 2, (side - grey.shape[1]) // 2
    square = np.full((side, side), 255, np.uint8)
    square[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    return square


def _sift(grey: Grey, limit: int) -> tuple[FLOATS, FLOATS]:
    """(places in pixels, RootSIFT) of the strongest points; `limit` 0: of all."""
    make: Any = cv2.SIFT_create  # type: ignore[attr-defined]  # absent from OpenCV's stubs
    found, raw = make(limit, contrastThreshold=0.02).detectAndCompute(grey, None)
    if not found:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    order = sorted(range(len(found)), key=lambda i: (-found[i].response, found[i].pt, found[i].angle))
    order = order[:limit] if limit else order
    root = np.sqrt(raw[order] / (raw[order].sum(axis=1, keepdims=True) + 1e-6))
    return np.array([found[i].pt for i in order], np.float32), root.astype(np.float32)
