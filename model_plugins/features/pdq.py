"""PDQ, the perceptual hash for photographs: 256 bits and a quality.

As published (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019) and as its
reference implementation counts: luma, a box filter passed twice over rows and columns (Jarosz) and sampled at 64 x 64,
the lowest 16 x 16 coefficients of a cosine transform without the constant term, each compared with their median.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 64
BITS = 16
LARGEST = 512
"""Larger pictures are reduced to this longer side first: the hash does not see the difference, the clock does."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Floats = NDArray[np.float32]


@cache
def _cosines() -> Floats:
    """float32 [16, 64]: rows 1 to 16 of the orthonormal DCT-II."""
    row, column = np.arange(1, BITS + 1)[:, None], np.arange(SIDE)[None, :]
    return np.asarray(np.sqrt(2 / SIDE) * np.cos(np.pi / 2 / SIDE * row * (2 * column + 1)), np.float32)


def luma(rgb: NDArray[np.uint8]) -> Floats:
    """uint8 [h, w, 3] -> float32 [h, w], 0..255."""
    return np.asarray(rgb.astype(np.float32) @ LUMA, np.float32)


def _box(values: Floats, wide: int, tall: int) -> Floats:
    """Mean over a window of `wide` x `tall` pixels, of those that lie in the picture."""
    anchor = (wide - 1 - wide // 2, tall - 1 - tall // 2)

    def total(of: Floats) -> Floats:
        summed = cv2.boxFilter(of, cv2.CV_32F, (wide, tall), None, anchor, False, cv2.BORDER_CONSTANT)
        return np.asarray(summed, np.float32)

    return np.asarray(total(values) / total(np.ones_like(values)), np.float32)


def reduced(grey: Floats) -> Floats:
    """float32 [h, w] -> float32 [64, 64]: the Jarosz filter, sampled at the middle of each cell."""
    height, width = grey.shape
    wide, tall = (width + 2 * SIDE - 1) // (2 * SIDE), (height + 2 * SIDE - 1) // (2 * SIDE)
    for _ in range(2):
        grey = _box(grey, wide, tall)
    rows = ((np.arange(SIDE) + 0.5) * height / SIDE).astype(np.intp)
    columns = ((np.arange(SIDE) + 0.5) * width / SIDE).astype(np.intp)
    return grey[np.ix_(rows, columns)]


def quality(small: Floats) -> int:
    """0..100 from the sum of gradients of the 64 x 64 picture: flat pictures hash badly, and say so."""
    down = np.abs(((small[:-1] - small[1:]) * 100 / 255).astype(np.int64)).sum()
    right = np.abs(((small[:, :-1] - small[:, 1:]) * 100 / 255).astype(np.int64)).sum()
    return min(100, int((down + right) // 90))


def compute(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [h, w, 3] -> uint8 [33]: the hash as its hexadecimal form reads, left to right, then the quality."""
    longer = max(rgb.shape[:2])
    if longer > LARGEST:
        size = tuple(max(1, round(side * LARGEST / longer)) for side in rgb.shape[1::-1])
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    small = reduced(luma(rgb))
    cosines = _cosines()
    coefficients = (cosines @ small @ cosines.T).ravel()
    median = np.partition(coefficients, 127)[127]
    bits = (coefficients > median).astype(np.uint8)
    # bit i of the hash is coefficient i, and the hexadecimal form starts with bit 255
    return np.concatenate([np.packbits(bits[::-1]), np.array([quality(small)], np.uint8)])
