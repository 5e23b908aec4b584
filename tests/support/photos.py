"""Real photographs, from the archives that the demo pins. Drawn ones all look alike to a network of photographs."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.sources import default_cache, download, read_media

LONG_SIDE = 480


@functools.cache
def _files() -> dict[str, bytes]:
    return read_media(download(default_cache()), reviews=0, seed=0).photos


def photo(name: str) -> NDArray[np.uint8]:
    """uint8 RGB, its longer side 480 pixels."""
    bgr = cv2.imdecode(np.frombuffer(_files()[name], np.uint8), cv2.IMREAD_COLOR)
    scale = LONG_SIDE / max(bgr.shape[:2])
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, :, ::-1], dtype=np.uint8)
