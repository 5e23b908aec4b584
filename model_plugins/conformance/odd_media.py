"""Media that strangers will post: without content, of extreme sizes, monotonous, noisy; and the files of examples."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import SOUND_RATE, ImageMedia, Media, TextMedia, VideoMedia

_FRAMES_A_SECOND = 2


def empty(kind: str) -> Media:
    """A medium of the kind without any content."""
    if kind == "image":
        return ImageMedia(np.zeros((0, 0, 3), np.uint8), 0, 0)
    if kind == "video":
        return VideoMedia(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), 0.0, 0, 0)
    return TextMedia("")


def odd(kind: str, sound: bool = False) -> list[tuple[str, Media]]:
    """(what is odd about it, medium): all are decodable, none is empty; the same ones each time.

    `sound`: clips have a sound track.
    """
    if kind == "image":
        return [(title, _image(rgb)) for title, rgb in _pictures().items()]
    if kind == "video":
        return [
            (title, _video(frames, noise_of(len(frames) / _FRAMES_A_SECOND) if sound else None))
            for title, frames in _clips().items()
        ] + [_with_odd_sound()]
    return [(title, TextMedia(text)) for title, text in _texts().items()]


def encoded(media: Media) -> bytes | None:
    """A file that shows the medium: PNG for an image, MP4 for a video; None for a text or where no file can."""
    if isinstance(media, ImageMedia) and media.rgb.size:
        from PIL import Image  # rarely needed, and slow to import

        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(media.rgb)).save(file, "PNG")
        return file.getvalue()
    if isinstance(media, VideoMedia) and media.frames.size and min(media.frames.shape[1:3]) > 1:
        return _mp4(media.frames)
    return None


def _pictures() -> dict[str, NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return {
        "a picture of one pixel": np.full((1, 1, 3), 90, np.uint8),
        "a picture 1 pixel high and 5000 wide": random.integers(0, 256, (1, 5000, 3), np.uint8),
        "a picture 5000 pixels high and 1 wide": random.integers(0, 256, (5000, 1, 3), np.uint8),
        "a black picture": np.zeros((64, 96, 3), np.uint8),
        "a white picture": np.full((64, 96, 3), 255, np.uint8),
        "a picture of noise": random.integers(0, 256, (257, 131, 3), np.uint8),
    }


def _clips() -> dict[str, NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return {
        "a clip of one frame": random.integers(0, 256, (1, 72, 128, 3), np.uint8),
        "a clip of 1 x 1 pixel": random.integers(0, 256, (3, 1, 1, 3), np.uint8),
        "a clip 1 pixel high and 5000 wide": random.integers(0, 256, (2, 1, 5000, 3), np.uint8),
        "a black clip": np.zeros((4, 72, 128, 3), np.uint8),
        "a white clip": np.full((4, 72, 128, 3), 255, np.uint8),
        "a clip of noise": random.integers(0, 256, (5, 73, 41, 3), np.uint8),
    }


def _texts() -> dict[str, str]:
    random = np.random.default_rng(0)
    garbage = "".join(chr(point) for point in random.integers(0x20, 0xD7FF, 400))
    return {
        "a text of one letter": "a",
        "a text of spaces": " \t\n\u3000\u200b ",
        "a text with NUL and control characters": "a\x00b\x07\x1b[31m\x7f",
        "a text of emoji": "👩‍👩‍👧‍👦🇫🇷🎉" * 20,
        "a text from right to left": "שלום עולם — مرحبا بالعالم",
        "a text of combining marks": "Z" + "\u0351\u0300" * 200,
        "a text with half a surrogate pair": "broken \ud83d emoji",
        "a text of random characters": garbage,
        "a text of 20000 characters": "长文 long text " * 1538 + "ends!!",
        "a text without a space": "x" * 5000,
    }


def _image(rgb: NDArray[np.uint8]) -> ImageMedia:
    return ImageMedia(rgb, rgb.shape[1], rgb.shape[0])


def _video(frames: NDArray[np.uint8], sound: NDArray[np.float32] | None = None) -> VideoMedia:
    times = np.arange(len(frames)) / _FRAMES_A_SECOND
    return VideoMedia(frames, times, len(frames) / _FRAMES_A_SECOND, frames.shape[2], frames.shape[1], sound)


def _with_odd_sound() -> tuple[str, Media]:
    frames = np.random.default_rng(1).integers(0, 256, (2, 36, 64, 3), np.uint8)
    return "a clip with a sound track of ten samples", _video(frames, np.zeros(10, np.float32))


def noise_of(seconds: float) -> NDArray[np.float32]:
    """A sound track of faint noise, float32 [m], -0.1..0.1."""
    count = max(int(seconds * SOUND_RATE), 1)
    return np.random.default_rng(2).uniform(-0.1, 0.1, count).astype(np.float32)


def _mp4(frames: NDArray[np.uint8]) -> bytes:
    import av  # rarely needed, and slow to import

    file = io.BytesIO()
    height, width = (side - side % 2 for side in frames.shape[1:3])
    container: Any
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=_FRAMES_A_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            pixels = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()
