"""Photos with and without logos: what logo recognition is judged on; logos outside the bank must not be found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_STRANGERS: Final = "rust apachekafka redis puma discord whatsapp lamborghini burgerking intel toyota kfc honda"
STRANGERS: Final = tuple(_STRANGERS.split())
"""Names in simple-icons that the bank lacks."""
SIZES: Final = (0.22, 0.55)
"""A logo's side, of the photo's shorter one."""


class Shown(NamedTuple):
    """A picture, and the name of the logo in it (empty: none)."""

    rgb: Pixels
    name: str


def with_logos(photos: list[Pixels], masks: dict[str, Pixels], seed: int) -> Iterator[Shown]:
    """Each photo with one of the logos: in some colour on the photo or on a patch, turned up to 30°, then JPEG 40-90.

    Args:
        photos: uint8 RGB.
        masks: logo name -> coverage, uint8 [side, side].
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    names = sorted(masks)
    for number, photo in enumerate(photos):
        name = names[number % len(names)]
        yield Shown(_jpeg(_paste(photo, masks[name], rng), rng), name)


def without_logos(photos: list[Pixels], seed: int) -> Iterator[Shown]:
    """The photos alone, as JPEG 40-90."""
    rng = np.random.default_rng(seed)
    for photo in photos:
        yield Shown(_jpeg(photo, rng), "")


def _paste(photo: Pixels, mask: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = photo.shape[:2]
    side = float(rng.uniform(*SIZES)) * min(height, width)
    angle = np.deg2rad(rng.uniform(-30, 30))
    reach = side * 0.72
    centre = np.array([rng.uniform(reach, max(reach, width - reach)), rng.uniform(reach, max(reach, height - reach))])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * side / mask.shape[0]
    move = np.column_stack([turn, centre - turn @ np.array([mask.shape[1] / 2, mask.shape[0] / 2])])
    coverage = cv2.warpAffine(mask, move, (width, height), flags=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
    ink, ground = rng.uniform(0, 90, 3), rng.uniform(170, 255, 3)
    if rng.random() < 0.5:
        ink, ground = ground, ink
    picture = photo.astype(np.float32)
    if rng.random() < 0.6:  # on a patch of its own
        patch = np.pad(np.full(mask.shape, 255, np.uint8), mask.shape[0] // 12)
        shift = move - np.column_stack([np.zeros((2, 2)), turn @ np.full(2, mask.shape[0] // 12)])
        under = cv2.warpAffine(patch, shift, (width, height), flags=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
        picture = picture * (1 - under) + ground * under
    else:
        behind = float((picture * coverage).sum() / (3 * coverage.sum() + 1e-6))
        ink = rng.uniform(0, 60, 3) if behind > 128 else rng.uniform(195, 255, 3)
    return np.clip(picture * (1 - coverage) + ink * coverage, 0, 255).astype(np.uint8)


def _jpeg(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    quality = int(rng.integers(40, 91))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
