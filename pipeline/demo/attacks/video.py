"""Video attacks with PyAV: a clip's frames in, an MP4 file out.

One encoder thread and fixed options: the same input gives the same bytes with the same libraries.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from random import Random
from typing import Final

import av
import msgspec
from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.Image import Resampling

from pipeline.demo.attacks.image import CAPTIONS

LONG_SIDE: Final = 480
"""Pixels. Originals are scaled down to this: the demo shall be quick."""

_X264: Final = {
    "preset": "veryfast",
    "threads": "1",
    "flags": "+bitexact",
    "x264-params": "rc-lookahead=0:mbtree=0:weightp=0",
}
"""x264's lookahead reads beyond the picture: one input gives several outputs, as the heap happens to be. Without it the
bytes are always the same, as they must be: a material with other bytes under the same id is a conflict."""


class Recipe(msgspec.Struct, frozen=True):
    """What happens to a clip on its way.

    Attributes:
        start, stop: the part of the source that is kept, in seconds.
        rate: frames a second of the result.
        crf: x264's quality, 18 (good) to 40 (poor).
        long_side: pixels.
        picture: what is done to each frame.
    """

    start: float = 0.0
    stop: float = 1e9
    rate: int = 15
    crf: int = 24
    long_side: int = LONG_SIDE
    picture: Callable[[Image.Image], Image.Image] | None = None


def frames(source: bytes, start: float, stop: float, rate: int) -> Iterator[Image.Image]:
    """Frames of the first video stream between two times, thinned or repeated to a constant rate.

    They come out with `LONG_SIDE` pixels at most: the scaler beside the decoder is quicker than any later one.
    """
    with av.open(io.BytesIO(source), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        due, origin = 0, None
        for frame in container.decode(stream):
            moment = float(frame.time or 0.0)
            origin = moment if origin is None else origin
            moment -= origin
            if moment >= stop:
                return
            if moment < start:
                continue
            if moment - start >= due / rate - 1e-6:
                picture = frame.to_image(**_fitting(frame.width, frame.height))
                while moment - start >= due / rate - 1e-6:
                    yield picture
                    due += 1


def _fitting(width: int, height: int) -> dict[str, int]:
    k = min(1.0, LONG_SIDE / max(width, height))
    return {"width": max(2, round(width * k)), "height": max(2, round(height * k))}


def transcode(source: bytes, recipe: Recipe) -> bytes:
    """Apply a recipe.

    Raises:
        ValueError: nothing is left of the source between `start` and `stop`.
    """
    out = io.BytesIO()
    count = 0
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=recipe.rate)
        stream.options = {**_X264, "crf": str(recipe.crf)}
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, recipe.rate)
        for picture in frames(source, recipe.start, recipe.stop, recipe.rate):
            shown = _even(picture if recipe.picture is None else recipe.picture(picture), recipe.long_side)
            if count == 0:
                stream.width, stream.height = shown.size
            frame = av.VideoFrame.from_image(shown)
            frame.pts, frame.time_base = count, Fraction(1, recipe.rate)
            container.mux(stream.encode(frame))
            count += 1
        if count == 0:
            raise ValueError(f"no frame between {recipe.start} s and {recipe.stop} s")
        container.mux(stream.encode(None))
    return out.getvalue()


def _even(picture: Image.Image, long_side: int) -> Image.Image:
    """Scaled down to the long side, both sides even, as yuv420p asks."""
    k = min(1.0, long_side / max(picture.size))
    size = (max(2, int(picture.width * k) // 2 * 2), max(2, int(picture.height * k) // 2 * 2))
    return picture if picture.size == size else picture.resize(size, Resampling.BILINEAR)


def recompress(_seconds: float, rng: Random) -> Recipe:
    """The whole clip, poorer."""
    return Recipe(crf=rng.randint(32, 37))


def downscale(_seconds: float, rng: Random) -> Recipe:
    """The whole clip at half the size and another frame rate."""
    return Recipe(long_side=LONG_SIDE // 2, rate=12, crf=rng.randint(24, 28))


def clip(seconds: float, rng: Random) -> Recipe:
    """75 to 85 % of the clip."""
    kept = seconds * rng.uniform(0.75, 0.85)
    start = rng.uniform(0.0, seconds - kept)
    return Recipe(start=start, stop=start + kept)


def caption(_seconds: float, rng: Random) -> Recipe:
    """A line of text over every frame."""
    words, y = rng.choice(CAPTIONS), rng.uniform(0.72, 0.84)

    def write(picture: Image.Image) -> Image.Image:
        picture = picture.copy()  # a frame may be shown twice
        draw = ImageDraw.Draw(picture)
        font = ImageFont.load_default(max(10, picture.height // 12))
        at = (picture.width * 0.05, picture.height * y)
        draw.text(at, words, font=font, fill="white", stroke_width=2, stroke_fill="black")
        return picture

    return Recipe(picture=write)


def letterbox(_seconds: float, rng: Random) -> Recipe:
    """Black bars above and below."""
    share = rng.uniform(0.08, 0.12)
    return Recipe(picture=lambda picture: ImageOps.expand(picture, (0, int(picture.height * share)), (0, 0, 0)))


VIDEO_ATTACKS: Final[dict[str, Callable[[float, Random], Recipe]]] = {
    attack.__name__: attack for attack in (recompress, clip, caption, downscale, letterbox)
}
