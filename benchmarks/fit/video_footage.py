"""Footage to fit the video ranker on: animations of a pinned package, and camera moves and static cameras over photos.

Footage is a picture as a function of time, so that speed, cut and frame rate can be changed without sampling twice.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
from PIL import Image

from benchmarks.fit.image_attacks import Picture
from model_plugins.recipes.index_file import IndexFile

ANIMATIONS = IndexFile(
    project="comfyui-workflow-templates-media-video",
    filename="comfyui_workflow_templates_media_video-0.3.98-py3-none-any.whl",
    sha256="bddd2514dd7293751d85a93232af201e128eb83b9350dfc4e839838496c1d362",
)
"""MIT; short generated clips as animated WebP."""
ANIMATION_RATE = 8.0
WIDTH, HEIGHT = 320, 240
CLIP_SECONDS = 7.0


class Footage(msgspec.Struct, frozen=True):
    """`at(seconds)` is uint8 RGB [h, w, 3], for 0 <= seconds < `duration`. `source`: clips of one source share it."""

    source: str
    duration: float
    at: Callable[[float], Picture]


def cut(footage: Footage, start: float, seconds: float) -> Footage:
    """A part of it."""
    return Footage(footage.source, min(seconds, footage.duration - start), lambda t: footage.at(start + t))


def halves(footage: Footage) -> list[Footage]:
    """Two clips of one source that share no moment, where it is long enough; else itself."""
    if footage.duration < 9:
        return [cut(footage, 0, CLIP_SECONDS)]
    half = footage.duration / 2
    length = min(CLIP_SECONDS, half - 0.5)
    return [cut(footage, 0, length), cut(footage, half, length)]


def animations(package: Path) -> Iterator[Footage]:
    """The package's moving clips; the edited twin (`-2`) of a clip is left out, since it is neither copy nor other."""
    with zipfile.ZipFile(package) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("-1.webp"):
                continue
            with Image.open(io.BytesIO(archive.read(name))) as image:
                count = getattr(image, "n_frames", 1)
                if count < 20:
                    continue
                frames = []
                for number in range(count):
                    image.seek(number)
                    frame = image.convert("RGB")
                    frame.thumbnail((WIDTH, HEIGHT))
                    frames.append(np.asarray(frame))
            duration = count / ANIMATION_RATE
            yield Footage(name.rpartition("/")[2], duration, _player(frames))


def _player(frames: list[Picture]) -> Callable[[float], Picture]:
    return lambda t: frames[min(len(frames) - 1, max(0, int(t * ANIMATION_RATE)))]


def camera_move(name: str, photo: Picture, rng: np.random.Generator) -> Footage:
    """A window that glides and zooms over a photo along a smooth random path, 16 seconds long."""
    knots = np.column_stack([rng.uniform(0.2, 0.8, (5, 2)), rng.uniform(0.35, 0.7, 5)])
    seconds, h, w = 16.0, photo.shape[0], photo.shape[1]

    def at(t: float) -> Picture:
        place = np.clip(t / seconds, 0, 1) * (len(knots) - 1)
        left = min(int(place), len(knots) - 2)
        ease = 0.5 - 0.5 * np.cos(np.pi * (place - left))
        x, y, zoom = knots[left] * (1 - ease) + knots[left + 1] * ease
        center = (float(np.clip(x, zoom / 2, 1 - zoom / 2) * w), float(np.clip(y, zoom / 2, 1 - zoom / 2) * h))
        window = cv2.getRectSubPix(photo, (int(zoom * w), int(zoom * h)), center)
        return cv2.resize(window, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    return Footage(name, seconds, at)


def static_camera(name: str, photo: Picture, others: list[Picture], rng: np.random.Generator) -> Footage:
    """One place, 16 seconds: cut-outs of other photos pass through it, and the light changes a little."""
    ground = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    seconds, movers = 16.0, []
    for _ in range(int(rng.integers(6, 14))):
        other = others[int(rng.integers(len(others)))]
        size = (int(rng.integers(18, 70)), int(rng.integers(24, 100)))
        cut_out = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
        mask = np.zeros(cut_out.shape[:2], np.uint8)
        cv2.ellipse(mask, (size[0] // 2, size[1] // 2), (size[0] // 2, size[1] // 2), 0, 0, 360, 1, -1)
        start, last = rng.uniform(-4, seconds), rng.uniform(2, 7)
        path = rng.uniform(-0.2, 1.2, (2, 2)) * [WIDTH, HEIGHT]
        movers.append((cut_out, mask[..., None].astype(bool), start, last, path))
    flicker = rng.uniform(0, 0.08)

    def at(t: float) -> Picture:
        frame = np.clip(ground * (1 + flicker * np.sin(1.7 * t)), 0, 255).astype(np.uint8)
        for cut_out, mask, start, last, path in movers:
            share = (t - start) / last
            if 0 <= share <= 1:
                x, y = (path[0] * (1 - share) + path[1] * share).astype(int)
                _paste(frame, cut_out, mask, x, y)
        return frame

    return Footage(name, seconds, at)


def _paste(frame: Picture, cut_out: Picture, mask: Picture, x: int, y: int) -> None:
    h, w = cut_out.shape[:2]
    left, top = max(0, x), max(0, y)
    right, bottom = min(frame.shape[1], x + w), min(frame.shape[0], y + h)
    if right <= left or bottom <= top:
        return
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    region = frame[top:bottom, left:right]
    region[...] = np.where(mask[part], cut_out[part], region)
