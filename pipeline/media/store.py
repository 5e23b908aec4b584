"""`STATE/media`: what a medium looked like, by the sha256 of its file: for explanations, samples, and new spaces.

A small file is kept as it is; of a larger picture a thumbnail, of a larger video its sampled frames as Motion JPEG, so
that whatever is kept can be decoded like any medium. The store forgets: beyond its size or age the oldest go first, a
folder at a time, and a medium that is not there is no error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import ImageMedia, VideoMedia

LARGEST_SIDE = 512
"""Pixels of a thumbnail's longer side."""
_WHOLE_IMAGE = 128 * 1024
_WHOLE_VIDEO = 1024 * 1024
_QUALITY = 85
_FOLDERS = 256
_TIDY_EVERY = 16
_MILLISECONDS = Fraction(1, 1000)


class StoreLimits(msgspec.Struct, frozen=True):
    """`max_bytes`: of all that is kept, about. `ttl_s`: seconds after which a medium may be forgotten."""

    max_bytes: int = 10 * 1024**3
    ttl_s: float = 90 * 86_400.0


class MediaStore:
    """Processes may share it: files appear whole, and whoever writes tidies the folder that it wrote into.

    Args:
        folder: made when it is needed.
        limits: when to forget.
        now: epoch seconds.
    """

    def __init__(self, folder: Path, limits: StoreLimits | None = None, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._limits = limits or StoreLimits()
        self._now = now
        self._writes = 0
        self._made: set[Path] = set()

    def path(self, sha256: bytes) -> Path:
        """Where the medium lies, or would lie."""
        name = sha256.hex()
        return self._folder / name[:2] / name

    def find(self, sha256: bytes) -> Path | None:
        """The file, None when it is not there (any more)."""
        path = self.path(sha256)
        return path if path.is_file() else None

    def keep(self, sha256: bytes, data: bytes, media: ImageMedia | VideoMedia) -> None:
        """Keep what is decoded, unless it is there.

        Args:
            data: the whole file.

        Raises:
            OSError: the disk refuses.
        """
        path = self.path(sha256)
        if path.exists():
            return
        if isinstance(media, ImageMedia):
            kept = data if len(data) <= _WHOLE_IMAGE else thumbnail(media.rgb)
        else:
            kept = data if len(data) <= _WHOLE_VIDEO else b""
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            if kept:
                aside.write_bytes(kept)
            elif isinstance(media, VideoMedia):
                write_frames(aside, media)
            aside.rename(path)
        except BaseException:
            self._made.discard(path.parent)  # perhaps a person removed it
            aside.unlink(missing_ok=True)
            raise
        self._writes += 1
        if self._writes % _TIDY_EVERY == 0:
            self._tidy(path.parent)

    def _tidy(self, folder: Path) -> None:
        """Forget what is too old, and the oldest beyond the folder's share of the space."""
        files = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
        left = sum(size for _, size, _ in files)
        for written, size, path in files:
            if left <= self._limits.max_bytes // _FOLDERS and self._now() - written <= self._limits.ttl_s:
                return
            Path(path).unlink(missing_ok=True)
            left -= size


def thumbnail(rgb: NDArray[np.uint8]) -> bytes:
    """JPEG of at most `LARGEST_SIDE` pixels on the longer side; `rgb`: uint8 [h, w, 3]."""
    height, width = rgb.shape[:2]
    scale = LARGEST_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, encoded = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(encoded.tobytes())


def write_frames(path: Path, media: VideoMedia) -> None:
    """The sampled frames at their times, as Motion JPEG in Matroska."""
    _, height, width, _ = media.frames.shape
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=2)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj444p"
        stream.time_base = stream.codec_context.time_base = _MILLISECONDS
        for rgb, seconds in zip(media.frames, media.times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = round(float(seconds) * 1000), _MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
