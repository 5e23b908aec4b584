"""Pictures to measure with: different crops of the demo's photos, 640 px JPEGs, the same for a seed everywhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.demo import sources

_SIDE = 640
_QUALITY = 90


def make(folder: Path, count: int, seed: int = 7) -> list[Path]:
    """Write `count` JPEGs of 640 x 480; no two are equal. Quick when they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:05d}.jpg" for i in range(count)]
    if all(path.exists() for path in paths):
        return paths
    rng = np.random.default_rng(seed)
    photos = sources.read_media(sources.download(sources.default_cache()), reviews=1, seed=seed).photos
    decoded = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for _, data in sorted(photos.items()))
    pictures = [np.asarray(picture, np.uint8) for picture in decoded if picture is not None]
    for i, path in enumerate(paths):
        crop = _crop(pictures[i % len(pictures)], rng)
        cv2.imwrite(str(path), crop, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return paths


def _crop(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    part = rng.uniform(0.4, 0.9)
    h, w = max(16, int(height * part)), max(16, int(width * part))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    resized = cv2.resize(picture[y : y + h, x : x + w], (_SIDE, _SIDE * 3 // 4), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized, dtype=np.uint8)
