"""A seeded fuzzer over real files: what a disk, a network or a bored stranger does to them.

The same seed gives the same mutants. A mutant may by chance still be a whole picture: `reference` says which are.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator, Mapping

from PIL import Image

from hostile.clips import clip

Mutate = Callable[[bytearray, random.Random, bytes], None]
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds(photos: Mapping[str, bytes]) -> dict[str, bytes]:
    """Whole files to begin with, by `kind-format`, made of real photographs.

    Args:
        photos: encoded photographs by name.
    """
    found: dict[str, bytes] = {}
    for number, name in enumerate(sorted(photos)[:3]):
        with Image.open(io.BytesIO(photos[name])) as whole:
            picture = whole.convert("RGB")
        picture.thumbnail((320, 320))
        for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000", "BMP"):
            buffer = io.BytesIO()
            options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
            picture.save(buffer, kind, **options)
            found[f"image-{kind.lower()}-{number}"] = buffer.getvalue()
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", progressive=True, quality=80)
        found[f"image-progressive-{number}"] = buffer.getvalue()
    for container, codec in {
        "mp4": "libx264", "matroska": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "mpegts": "libx264",
        "mov": "mpeg4", "flv": "libx264",
    }.items():  # fmt: skip
        found[f"video-{container}-0"] = clip(container, frames=30, codec=codec)
    return found


def mutants(files: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """(name, kind, content), each format in turn."""
    names = sorted(files)
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        name = names[number % len(names)]
        data, other = bytearray(files[name]), files[rng.choice(names)]
        chosen = rng.choices(MUTATORS, k=rng.choice((1, 1, 2, 3, 5)))
        for mutate in chosen:
            if len(data) > 16:
                mutate(data, rng, other)
        kind, form, _ = name.split("-")
        yield f"{form}-{number}-{chosen[0].__name__}", kind, bytes(data)


def noise(data: bytearray, rng: random.Random, _: bytes) -> None:
    """A stretch of the file becomes noise."""
    start, stop = _stretch(data, rng)
    data[start:stop] = rng.randbytes(stop - start)


def zeros(data: bytearray, rng: random.Random, _: bytes) -> None:
    """A stretch of the file was never written."""
    start, stop = _stretch(data, rng)
    data[start:stop] = bytes(stop - start)


def cut(data: bytearray, rng: random.Random, _: bytes) -> None:
    """The end is missing."""
    del data[rng.randrange(1, max(2, len(data) * 9 // 10)) :]


def hole(data: bytearray, rng: random.Random, _: bytes) -> None:
    """A stretch is missing."""
    start, stop = _stretch(data, rng)
    del data[start:stop]


def repeat(data: bytearray, rng: random.Random, _: bytes) -> None:
    """A stretch comes several times."""
    start, stop = _stretch(data, rng)
    data[start:start] = data[start:stop] * rng.randrange(1, 8)


def swap(data: bytearray, rng: random.Random, _: bytes) -> None:
    """Two halves of a stretch changed places."""
    start, stop = _stretch(data, rng)
    middle = (start + stop) // 2
    data[start:stop] = data[middle:stop] + data[start:middle]


def graft(data: bytearray, rng: random.Random, other: bytes) -> None:
    """From somewhere on it is another file."""
    at = rng.randrange(8, len(data))
    data[at:] = other[min(at, len(other) - 1) :]


def head(data: bytearray, rng: random.Random, _: bytes) -> None:
    """Numbers near the beginning take extreme values."""
    for _turn in range(rng.randrange(2, 12)):
        at = rng.randrange(4, min(len(data) - 4, 400))
        order = rng.choice((">", "<"))
        data[at : at + 4] = struct.pack(order + "I", rng.choice(_EXTREMES))


def flips(data: bytearray, rng: random.Random, _: bytes) -> None:
    """Single bits, one in a hundred bytes."""
    for _turn in range(max(4, len(data) // 100)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


MUTATORS: tuple[Mutate, ...] = (noise, zeros, cut, hole, repeat, swap, graft, head, flips)


def _stretch(data: bytearray, rng: random.Random) -> tuple[int, int]:
    """A tenth to a half of the file."""
    length = rng.randrange(len(data) // 10 + 1, len(data) // 2 + 2)
    start = rng.randrange(0, max(1, len(data) - length))
    return start, min(len(data), start + length)
