"""Pictures and clips for the decoder: drawn scenes, the same for a seed, and a camera that pans over a picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from x264 import X264


def scene(seed: int, width: int = 480, height: int = 360) -> NDArray[np.uint8]:
    """uint8 RGB [height, width, 3]: smooth noise with shapes; no two seeds are alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            cv2.circle(picture, centre, int(rng.integers(4, 40)), colour, -1)
        else:
            other = (int(rng.integers(0, width)), int(rng.integers(0, height)))
            cv2.rectangle(picture, centre, other, colour, int(rng.integers(1, 5)))
    return np.ascontiguousarray(picture)


def write_jpeg(path: Path, picture: NDArray[np.uint8], quality: int = 92) -> Path:
    """RGB to a JPEG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def write_clip(path: Path, picture: NDArray[np.uint8], seconds: float = 3.0, scale: float = 1.0, crf: int = 23) -> Path:
    """An mp4 of 320 x 240 pixels (times `scale`): a camera pans over a picture from left to right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wide = cv2.resize(picture, (640, 240), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12))
        stream.width, stream.height = int(320 * scale) // 2 * 2, int(240 * scale) // 2 * 2
        stream.pix_fmt, stream.options = "yuv420p", X264 | {"crf": str(crf)}
        count = int(seconds * 12)
        for i in range(count):
            left = int(320 * i / max(1, count - 1))
            view = cv2.resize(wide[:, left : left + 320], (stream.width, stream.height), interpolation=cv2.INTER_AREA)
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
