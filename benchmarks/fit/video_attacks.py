"""Attacked copies of footage: what people do to a video before they post it again, encoded as they would."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import cv2
import msgspec
import numpy as np

from benchmarks.fit import image_attacks
from benchmarks.fit.image_attacks import Picture
from benchmarks.fit.video_footage import Footage

OneFrame = Callable[[Picture], Picture]


class Encoding(msgspec.Struct, frozen=True):
    """H.264 constant rate factor (23 is good, 45 a ruin) and frames per second."""

    quality: int = 26
    rate: int = 10


def encode(footage: Footage, encoding: Encoding) -> bytes:
    """An MP4 file, one thread, no timestamps of its making."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        first = footage.at(0.0)
        h, w = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
        options = {"crf": str(encoding.quality), "preset": "veryfast", "threads": "1"}
        stream = container.add_stream("libx264", rate=encoding.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
        for number in range(max(1, int(footage.duration * encoding.rate))):
            picture = np.ascontiguousarray(footage.at(number / encoding.rate)[:h, :w])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def each_frame(footage: Footage, change: OneFrame) -> Footage:
    return Footage(footage.source, footage.duration, lambda t: change(footage.at(t)))


def faster(footage: Footage, rng: np.random.Generator) -> Footage:
    k = float(np.exp(rng.uniform(-0.69, 0.69)))
    return Footage(footage.source, footage.duration / k, lambda t: footage.at(t * k))


def shorter(footage: Footage, rng: np.random.Generator) -> Footage:
    seconds = footage.duration * rng.uniform(0.3, 0.8)
    start = rng.uniform(0, footage.duration - seconds)
    return Footage(footage.source, seconds, lambda t: footage.at(start + t))


def after_other(footage: Footage, rng: np.random.Generator, other: Footage) -> Footage:
    """The copy follows a part of an unrelated video."""
    lead = min(other.duration, float(rng.uniform(1.5, 8)))
    shape = footage.at(0.0).shape

    def at(t: float) -> Picture:
        return cv2.resize(other.at(t), (shape[1], shape[0])) if t < lead else footage.at(t - lead)

    return Footage(footage.source, lead + footage.duration, at)


def inside_other(footage: Footage, rng: np.random.Generator, other: Footage) -> Footage:
    """Picture in picture over an unrelated video that runs on (it starts again when it ends)."""
    scale, x, y = rng.uniform(0.35, 0.75), rng.random(), rng.random()

    def at(t: float) -> Picture:
        page, small = other.at(t % other.duration).copy(), footage.at(t)
        h, w = page.shape[:2]
        small = cv2.resize(small, (int(w * scale), int(h * scale)), interpolation=cv2.INTER_AREA)
        top, left = int(y * (h - small.shape[0])), int(x * (w - small.shape[1]))
        page[top : top + small.shape[0], left : left + small.shape[1]] = small
        return page

    return Footage(footage.source, footage.duration, at)


def captioned(footage: Footage, rng: np.random.Generator) -> Footage:
    """The same words over every frame."""
    seed = int(rng.integers(1 << 31))
    return each_frame(footage, lambda x: image_attacks.caption(x, np.random.default_rng(seed)))


def _same_draw(op: Callable[[Picture, np.random.Generator], Picture]) -> Callable[..., Footage]:
    """A still-picture attack with one draw of its parameters for the whole clip."""

    def apply(footage: Footage, rng: np.random.Generator) -> Footage:
        seed = int(rng.integers(1 << 31))
        return each_frame(footage, lambda x: np.ascontiguousarray(op(x, np.random.default_rng(seed))))

    return apply


def grainy(footage: Footage, rng: np.random.Generator) -> Footage:
    """Noise that is new in each frame."""
    sigma, seed = rng.uniform(5, 40), int(rng.integers(1 << 31))

    def noisy(x: Picture) -> Picture:
        frame_rng = np.random.default_rng([seed, int(x[::16, ::16].sum())])
        return np.clip(x + frame_rng.normal(0, sigma, x.shape), 0, 255).astype(np.uint8)

    return each_frame(footage, noisy)


def attack(footage: Footage, rng: np.random.Generator, other: Footage) -> tuple[Footage, Encoding]:
    """One to three attacks, and an encoding: coarse or slow in one clip of five each."""
    operations: list[Callable[[Footage], Footage]] = [
        lambda f: faster(f, rng), lambda f: shorter(f, rng), lambda f: shorter(f, rng),
        lambda f: after_other(f, rng, other), lambda f: inside_other(f, rng, other), lambda f: captioned(f, rng),
        lambda f: grainy(f, rng), lambda f: each_frame(f, lambda x: np.ascontiguousarray(x[:, ::-1])),
        *(
            (lambda f, op=op: _same_draw(op)(f, rng))
            for op in (
                lambda x, r: image_attacks.crop(x, r, 0.2, 0.75), image_attacks.pad, image_attacks.aspect,
                image_attacks.grey, image_attacks.blur, image_attacks.colours, image_attacks.coarse,
            )
        ),
    ]  # fmt: skip
    count = int(rng.choice([0, 1, 2, 3], p=[0.12, 0.5, 0.23, 0.15]))
    for index in rng.choice(len(operations), count, replace=False):
        footage = operations[int(index)](footage)
    ruined, slow = rng.random() < 0.2, rng.random() < 0.2
    return footage, Encoding(int(rng.integers(36, 46)) if ruined else 26, int(rng.integers(3, 7)) if slow else 10)
