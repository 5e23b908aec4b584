"""Where to cut a picture so that its subject stays in.

An energy map says where the subject is likely to be: spectral residual saliency (Hou, Zhang, CVPR 2007) with edges,
skin and saturation as in smartcrop.js (Jonas Wagner, MIT licence), under a preference for the middle. The crop of
a ratio is the largest window of that ratio, where it holds most energy; energy near its border counts less, since a
subject that touches the border looks cut.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Energy = NDArray[np.float32]
Pixels = NDArray[np.uint8]

WORKING_SIDE: Final = 128
_RESIDUAL_SIDE: Final = 64
"""Hou and Zhang's scale: saliency at this size speaks of objects and not of texture."""
_WEIGHTS: Final = {"saliency": 1.0, "edges": 0.25, "skin": 0.9, "saturation": 0.3}
_MIDDLE: Final = 0.8
"""How much less energy counts in the corners than in the middle."""
_RAISED: Final = 0.2
"""The middle lies this far above the centre, in half heights: heads are in the upper part of pictures."""
_SKIN: Final = np.array([0.78, 0.57, 0.44]) / np.linalg.norm([0.78, 0.57, 0.44])
"""smartcrop.js's skin tone, as a direction in RGB."""
_RIM: Final = 0.3
"""The share of a window's length, at either end, over which energy fades to half."""


class Crop(NamedTuple):
    """A window in pixels of the picture that was looked at, and the share of the energy that it holds (0..1)."""

    x: int
    y: int
    width: int
    height: int
    score: float


def energy(rgb: Pixels) -> Energy:
    """rgb uint8 [h, w, 3] -> float32 of at most 128 a side, sum 1 (or all equal, for a picture that shows nothing)."""
    scale = WORKING_SIDE / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    parts = {
        "saliency": spectral_residual(grey),
        "edges": _scaled(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).astype(np.float32)),
        "skin": skin(small),
        "saturation": saturation(small),
    }
    total = np.zeros(grey.shape, np.float32)
    for name, part in parts.items():
        total += _WEIGHTS[name] * part
    y, x = ((np.arange(n) + 0.5) / n * 2 - 1 for n in total.shape)
    away = np.hypot(*np.meshgrid(y + _RAISED, x, indexing="ij")) / np.sqrt(2)
    total *= np.clip(1 - _MIDDLE * away, 0, 1).astype(np.float32)
    whole = float(total.sum())
    return total / whole if whole > 1e-6 else np.full(total.shape, 1 / total.size, np.float32)


def spectral_residual(grey: Energy) -> Energy:
    """Saliency 0..1: what the log amplitude spectrum holds beyond its own local mean."""
    height, width = grey.shape
    scale = _RESIDUAL_SIDE / max(height, width)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    spectrum = np.fft.fft2(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    amplitude = np.log(np.abs(spectrum) + 1e-8).astype(np.float32)
    residual = amplitude - cv2.blur(amplitude, (3, 3))
    salient = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    smooth = cv2.GaussianBlur(salient.astype(np.float32), (0, 0), 2.5)
    return _scaled(np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32))


def skin(rgb: Pixels) -> Energy:
    """0..1: nearness to smartcrop.js's skin tone, among pixels that are neither dark nor blown out."""
    colour = rgb.astype(np.float32) / 255
    length = np.linalg.norm(colour, axis=2)
    distance = np.linalg.norm(colour / (length[..., None] + 1e-6) - _SKIN.astype(np.float32), axis=2)
    bright = colour.mean(axis=2)
    near = np.clip((1 - distance - 0.8) / 0.2, 0, 1) * ((bright > 0.2) & (bright < 0.95))
    return np.asarray(cv2.GaussianBlur(near.astype(np.float32), (0, 0), 1.5), np.float32)


def saturation(rgb: Pixels) -> Energy:
    """0..1: colourfulness beyond 0.4, as smartcrop.js counts it."""
    colour = rgb.astype(np.float32) / 255
    high, low = colour.max(axis=2), colour.min(axis=2)
    chroma = (high - low) / (1 - np.abs(high + low - 1) + 1e-3)
    light = (high + low) / 2
    return np.asarray(np.clip((chroma - 0.4) / 0.6, 0, 1) * ((light > 0.05) & (light < 0.9)), np.float32)


def crop(energy_map: Energy, height: int, width: int, ratio: float) -> Crop:
    """The best window of `ratio` (width over height) in a picture of `height` x `width` pixels.

    The window is as large as the picture allows, and slides along the longer side.
    """
    if width > height * ratio:
        length = max(1, min(width, round(height * ratio)))
        start, score = _slide(energy_map.sum(axis=0), width, length)
        return Crop(start, 0, length, height, score)
    length = max(1, min(height, round(width / ratio)))
    start, score = _slide(energy_map.sum(axis=1), height, length)
    return Crop(0, start, width, length, score)


def _slide(profile: NDArray[np.float32], side: int, length: int) -> tuple[int, float]:
    """(first pixel, share of the energy) of the window of `length` pixels along an axis of `side` pixels."""
    if length >= side:
        return 0, 1.0
    fine = np.interp((np.arange(side) + 0.5) / side * len(profile) - 0.5, np.arange(len(profile)), profile)
    fine /= fine.sum()
    rim = max(1, round(length * _RIM))
    weight = np.ones(length)
    weight[:rim] = np.linspace(0.5, 1, rim)
    weight[-rim:] = np.linspace(1, 0.5, rim)
    gains = np.convolve(fine, weight, "valid")
    best = float(gains.max())
    near = np.flatnonzero(gains >= best - 1e-9)
    start = int(near[np.argmin(np.abs(near - (side - length) / 2))])
    return start, float(fine[start : start + length].sum())


def _scaled(values: Energy) -> Energy:
    """To 0..1 by the 99th percentile, so that one pixel does not rule."""
    top = float(np.percentile(values, 99))
    return np.asarray(np.clip(values / top, 0, 1), np.float32) if top > 1e-6 else np.zeros_like(values)
