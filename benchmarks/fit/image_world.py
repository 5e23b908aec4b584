"""A stream of posted pictures to fit the image ranker on: originals, and copies that share more than their source.

    python -m benchmarks.fit.image_world --head-held-out HEAD.npz --out WORLD.msgpack [--cache DIR]
    python -m benchmarks.fit.image_world --image-model FOLDER --out WORLD.msgpack [--cache DIR]

The embedding's own head is fitted on these photos, and on them its cosines are better than on a stranger's. So the
world is seen by a model with *another* head, made by `python -m benchmarks.fit.image_head --held-out --out HEAD.npz`,
and only photos that it never saw (numbers that end in 0, 1 or 2) are copied; the others are stored as they are.
`--image-model`: another version of the embedding, which never saw those photos either (`model_plugins.recipes.sscd`).

A held-out photo and its quadrants are contents of their own, each posted as several attacked copies, two of three also
as the original. As in a real stream copies share more than their source: screenshots come in one of a few frames, and
pictures are pasted on, or blended with, one of a few grounds that are themselves posted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from benchmarks.fit.attacks import Frame, Picture, Random, attack, frame
from benchmarks.fit.image_gallery import Extractor, read_rgb
from benchmarks.fit.photos import default_cache, photos
from materials.records import Features
from model_plugins.recipes.build import build_image_embedding

HELD_OUT = (0, 1, 2)
ABSENT_EVERY = 3
"""Of the held-out photos one in three is posted as copies only."""
COPIES, COPIES_OF_QUADRANT = 6, 3
FRAMES = (0.45, 0.25, 0.15, 0.1, 0.05)
"""How often each of the frames is met."""
FRAMED = 0.17
"""Of the copies, screenshots in one of the common frames."""
GROUNDS = 12


class Posted(msgspec.Struct, frozen=True):
    """A picture of the stream. `content`: `FAMILY` or `FAMILY.QUADRANT`; a photo and its quadrants share a family and
    some of what they show, so pairs of two contents of one family say nothing."""

    name: str
    content: str
    family: int
    original: bool
    features: Features


def contents(paths: Sequence[Path]) -> Iterator[tuple[str, int, Picture]]:
    """(content, family, RGB): each photo, then the quadrants that are not flat."""
    for number, path in enumerate(paths):
        rgb = read_rgb(path)
        yield f"{number}", number, rgb
        tall, wide = rgb.shape[0] // 2, rgb.shape[1] // 2
        for place, (top, left) in enumerate(((0, 0), (0, wide), (tall, 0), (tall, wide))):
            part = np.ascontiguousarray(rgb[top : top + tall, left : left + wide])
            if part.std() >= 12:
                yield f"{number}.{place}", number, part


def absent(family: int) -> bool:
    """Held out, and never posted as it is."""
    return family % 10 in HELD_OUT and (family // 10 * len(HELD_OUT) + family % 10) % ABSENT_EVERY == 0


def copy_of(rgb: Picture, random: Random, grounds: Sequence[Picture], frames: Sequence[Frame]) -> Picture:
    """An attacked copy, at times inside one of the common frames."""
    if random.random() >= FRAMED:
        return attack(rgb, random, grounds)[0]
    if random.random() < 0.5:
        rgb = attack(rgb, random, grounds)[0]
    if random.random() < 0.5 and rgb.shape[0] > 1.6 * rgb.shape[1]:
        rgb = rgb[: int(1.6 * rgb.shape[1])]
    return frames[int(random.choice(len(FRAMES), p=FRAMES))](rgb, random)


def world(paths: Sequence[Path], extractor: Extractor, seed: int) -> list[Posted]:
    """Everything that is posted, in random order."""
    random = np.random.default_rng(seed)
    frames = [frame(random) for _ in FRAMES]
    everything = list(contents(paths))
    grounds = [rgb for content, family, rgb in everything if absent(family) and "." not in content][:GROUNDS]
    posted = []
    for content, family, rgb in everything:
        held_out, quadrant = family % 10 in HELD_OUT, "." in content
        if not absent(family) and (held_out or not quadrant or content.endswith(".0")):
            posted.append(Posted(content, content, family, True, extractor.features(rgb)))
        others = [ground for ground in grounds if ground is not rgb]
        for number in range((COPIES_OF_QUADRANT if quadrant else COPIES) if held_out else 0):
            copy = np.ascontiguousarray(copy_of(rgb, random, others, frames))
            posted.append(Posted(f"{content}/{number}", content, family, False, extractor.features(copy)))
    return [posted[place] for place in random.permutation(len(posted))]


def main() -> None:
    """Make the world once; the fit reads it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=default_cache())
    seen_by = parser.add_mutually_exclusive_group(required=True)
    seen_by.add_argument("--head-held-out", type=Path)
    seen_by.add_argument("--image-model", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = options.image_model or build_image_embedding(options.cache / "held-out-model", head=options.head_held_out)
    posted = world(photos(options.cache), Extractor(model), options.seed)
    options.out.write_bytes(msgspec.msgpack.encode(posted))


if __name__ == "__main__":
    main()
