"""The mixed stream that the matrix sends: posts, images and videos, some of them copies that belong together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from photos import photo
from scenes import write_clip

PHOTOS = ("chelsea", "beach", "mona-lisa", "rocket", "sail", "tiger", "tulips", "waterfall", "summit", "hummingbird")
CLIPS = 4
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]
_CYCLE = 50
_IMAGES = frozenset(range(3, _CYCLE, 4))
_VIDEOS = frozenset({13})
_COPIES = frozenset({10, 20, 30, 40})
"""Of fifty records: one video, a dozen images, four posts that repeat an earlier post word by word, posts."""
_FREE_ATOM = b"\0\0\0\x18free"


class Record(NamedTuple):
    """One record of the input. `twin`: the earlier material whose content ID it must get; empty where there is none."""

    material_id: str
    kind: str
    body: dict[str, Any]
    twin: str = ""


class MediaKit:
    """Media that look alike in groups and differ in every byte string, so that no cache answers for the models.

    Args:
        folder: gets `pictures/` and `clips/`; the input files lie beside them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        self._photos = [photo(name) for name in PHOTOS]
        self._clips = [
            write_clip(folder / "clips" / f"seed-{i}.mp4", self._photos[i], seconds=1.5).read_bytes()
            for i in range(CLIPS)
        ]

    def image(self, name: str, chance: random.Random) -> str:
        """A crop of a photograph; its path, relative to the folder."""
        picture = chance.choice(self._photos)
        top, left = chance.randrange(24), chance.randrange(24)
        path = self._folder / "pictures" / f"{name}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, chance.randrange(70, 95)]
        cv2.imwrite(str(path), np.ascontiguousarray(picture[top:, left:, ::-1]), quality)
        return f"pictures/{path.name}"

    def video(self, name: str, chance: random.Random) -> str:
        """A clip with a `free` atom of its own at the end, which players skip."""
        path = self._folder / "clips" / f"{name}.mp4"
        path.write_bytes(chance.choice(self._clips) + _FREE_ATOM + chance.randbytes(16))
        return f"clips/{path.name}"

    def forget(self) -> None:
        """Remove what was written for records that have their outcomes."""
        for path in [*(self._folder / "pictures").iterdir(), *(self._folder / "clips").iterdir()]:
            path.unlink()


def records(prefix: str, kit: MediaKit, chance: random.Random) -> Iterator[Record]:
    """An endless stream; the same for a prefix and a seed."""
    posts: list[tuple[str, str]] = []
    number = 0
    while True:
        name, place = f"{prefix}-{number:05}", number % _CYCLE
        if place in _VIDEOS:
            yield _medium(name, "video", kit.video(name, chance))
        elif place in _IMAGES:
            yield _medium(name, "image", kit.image(name, chance))
        elif place in _COPIES:
            twin, text = chance.choice(posts)
            yield Record(name, "post", {"material_id": name, "kind": "post", "text": text}, twin)
        else:
            text = " ".join("".join(chance.choices(_SYLLABLES, k=3)) for _ in range(14))
            posts.append((name, text))
            yield Record(name, "post", {"material_id": name, "kind": "post", "text": text})
        number += 1


def _medium(name: str, kind: str, path: str) -> Record:
    return Record(name, kind, {"material_id": name, "kind": kind, "media": [path]})
