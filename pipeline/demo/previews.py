"""Small pictures of media as data URIs, for the report. A medium that cannot be shown gives none; it is never fatal."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import av
from PIL import Image, ImageOps

from materials.records import Material

SIDE: Final = 240
FRAME_SIDE: Final = 150
KEY_FRAMES: Final = 3
_MAX_PIXELS: Final = 64_000_000
_MAX_FRAMES: Final = 1_000
_VIDEO_ENDINGS: Final = (".mp4", ".mpg", ".avi", ".mkv", ".webm", ".mov")

Preview = Callable[[Material], list[list[str]]]
"""Material -> for each medium its pictures as data URIs."""


def previews_from(folder: Path) -> Preview:
    """Previews of media that lie in `folder`; anything outside of it is not opened."""

    def preview(material: Material) -> list[list[str]]:
        return [medium_pictures(folder, uri) for uri in material.media]

    return preview


def medium_pictures(folder: Path, uri: str) -> list[str]:
    """One picture of a still, `KEY_FRAMES` of a video, none of what is no readable file in `folder`."""
    root = folder.resolve()
    try:
        path = (root / uri).resolve(strict=True)
        if not path.is_relative_to(root) or not path.is_file():
            return []
        if path.suffix.lower() in _VIDEO_ENDINGS:
            return [data_uri(frame, FRAME_SIDE) for frame in key_frames(path, KEY_FRAMES)]
        with Image.open(path) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                return []
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            return [data_uri(ImageOps.exif_transpose(opened), SIDE)]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, av.FFmpegError):
        return []


def key_frames(path: Path, count: int) -> list[Image.Image]:
    """`count` frames at even distances, the first and the last tenth left out; fewer of a very short video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        shown = []
        for frame in container.decode(stream):
            shown.append(frame.to_image(width=FRAME_SIDE, height=max(2, FRAME_SIDE * frame.height // frame.width)))
            if len(shown) == _MAX_FRAMES:
                break
    return [shown[i] for i in _even_places(len(shown), count)]


def _even_places(length: int, count: int) -> Sequence[int]:
    if length <= count:
        return range(length)
    first, last = length // 10, length - 1 - length // 10
    return [first + round(k * (last - first) / (count - 1)) for k in range(count)]


def data_uri(picture: Image.Image, side: int) -> str:
    """A JPEG of at most `side` pixels."""
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Image.new("RGBA", rgba.size, "white")
        picture.alpha_composite(rgba)
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
