"""Small synthetic media for the examples of plug-ins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gradient_scene(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A picture with a sky-like gradient and some coloured boxes: uint8 [height, width, 3], the same for one seed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    top, bottom = random.uniform(40, 220, (2, 3))
    blend = (y / max(height - 1, 1))[..., None]
    picture = top * (1 - blend) + bottom * blend + 12 * np.sin(x / max(width, 1) * 20)[..., None]
    for _ in range(8):
        y0, x0 = random.integers(0, height), random.integers(0, width)
        h, w = random.integers(1, height // 3 + 2), random.integers(1, width // 3 + 2)
        picture[y0 : y0 + h, x0 : x0 + w] = random.uniform(0, 255, 3)
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)
