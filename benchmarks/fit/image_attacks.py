"""Attacked copies for fitting: what people do to a picture before they post it again. Pure but for the generator.

Every function takes and gives uint8 RGB [h, w, 3]. Strengths are drawn wide, so that nothing fits one benchmark's.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Backgrounds = Callable[[np.random.Generator], Picture]
"""Draws another photo, for collages and blends."""
_LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?#@ ")
_SMALLEST = 24


def _clip(values: NDArray[np.floating]) -> Picture:
    return np.clip(values, 0, 255).astype(np.uint8)


def _resize(x: Picture, width: int, height: int) -> Picture:
    smaller = width < x.shape[1] or height < x.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(x, (max(_SMALLEST, width), max(_SMALLEST, height)), interpolation=method)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return red, green, blue


def jpeg(x: Picture, rng: np.random.Generator) -> Picture:
    _, data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(6, 40))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def crop(x: Picture, rng: np.random.Generator, low: float = 0.3, high: float = 0.8) -> Picture:
    h, w = x.shape[:2]
    area, ratio = rng.uniform(low, high), np.exp(rng.uniform(-0.35, 0.35))
    ch = min(h, max(_SMALLEST, int(h * (area / ratio) ** 0.5)))
    cw = min(w, max(_SMALLEST, int(w * (area * ratio) ** 0.5)))
    top, left = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    return x[top : top + ch, left : left + cw]


def colours(x: Picture, rng: np.random.Generator) -> Picture:
    k = rng.uniform(0.3, 0.9)
    y = x * rng.uniform(1 - 0.6 * k, 1 + 0.8 * k) + rng.uniform(-60, 60) * k
    hsv = cv2.cvtColor(_clip((y - y.mean()) * rng.uniform(1 - 0.6 * k, 1 + 0.8 * k) + y.mean()), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + rng.integers(-int(35 * k), int(35 * k) + 1)) % 180
    hsv[..., 1] = _clip(hsv[..., 1] * rng.uniform(1 - 0.9 * k, 1 + k))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def grey(x: Picture, rng: np.random.Generator) -> Picture:
    g = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
    tint = rng.uniform(0.6, 1.1, 3) if rng.random() < 0.4 else np.ones(3)
    return _clip(g * tint)


def blur(x: Picture, rng: np.random.Generator) -> Picture:
    return cv2.GaussianBlur(x, (0, 0), rng.uniform(0.8, 7) * max(x.shape[:2]) / 640)


def noise(x: Picture, rng: np.random.Generator) -> Picture:
    return _clip(x + rng.normal(0, rng.uniform(8, 60), x.shape))


def coarse(x: Picture, rng: np.random.Generator) -> Picture:
    k, (h, w) = rng.uniform(0.1, 0.5), x.shape[:2]
    small = _resize(x, int(w * k), int(h * k))
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_NEAREST) if rng.random() < 0.5 else small


def rotate(x: Picture, rng: np.random.Generator) -> Picture:
    angle, (h, w) = rng.uniform(-45, 45), x.shape[:2]
    c, s = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1)
    width, height = (int(h * s + w * c), int(h * c + w * s)) if rng.random() < 0.5 else (w, h)
    matrix[:, 2] += (width / 2 - w / 2, height / 2 - h / 2)
    fill = (0, 0, 0) if rng.random() < 0.7 else (255, 255, 255)
    mode = cv2.BORDER_REPLICATE if rng.random() < 0.3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(x, matrix, (width, height), borderMode=mode, borderValue=fill)


def perspective(x: Picture, rng: np.random.Generator) -> Picture:
    h, w = x.shape[:2]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    moved = (corners + rng.uniform(-0.12, 0.12, (4, 2)) * [w, h]).astype(np.float32)
    return cv2.warpPerspective(x, cv2.getPerspectiveTransform(corners, moved), (w, h))


def aspect(x: Picture, rng: np.random.Generator) -> Picture:
    k, (h, w) = rng.uniform(1.1, 2), x.shape[:2]
    return _resize(x, int(w * k), h) if rng.random() < 0.5 else _resize(x, w, int(h * k))


def pad(x: Picture, rng: np.random.Generator) -> Picture:
    h, w = x.shape[:2]
    sides = (rng.uniform(0, 0.4, 4) * (rng.random(4) < 0.6) * [h, h, w, w]).astype(int)
    plain = (0, 0, 0) if rng.random() < 0.5 else (255, 255, 255)
    fill = plain if rng.random() < 0.7 else _colour(rng)
    return cv2.copyMakeBorder(x, *map(int, sides), cv2.BORDER_CONSTANT, value=fill)


def _words(rng: np.random.Generator, low: int, high: int) -> str:
    return "".join(rng.choice(_LETTERS, int(rng.integers(low, high))))


def caption(x: Picture, rng: np.random.Generator) -> Picture:
    image, (h, w) = Image.fromarray(x), x.shape[:2]
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 8)):
        font = ImageFont.load_default(max(9, int(h * rng.uniform(0.05, 0.2))))
        where = (rng.uniform(-0.05, 0.6) * w, rng.uniform(0, 0.9) * h)
        edge = (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0)
        draw.text(where, _words(rng, 3, 16), _colour(rng), font, stroke_width=int(rng.integers(0, 4)), stroke_fill=edge)
    return np.asarray(image)


def stickers(x: Picture, rng: np.random.Generator) -> Picture:
    x, (h, w) = x.copy(), x.shape[:2]
    for _ in range(rng.integers(1, 7)):
        r = int(min(h, w) * rng.uniform(0.07, 0.24))
        cx, cy, fill = int(rng.integers(0, w)), int(rng.integers(0, h)), _colour(rng)
        if rng.random() < 0.7:
            cv2.circle(x, (cx, cy), r, (255, 200, 50) if rng.random() < 0.5 else fill, -1)
            for side in (-1, 1):
                cv2.circle(x, (cx + side * r // 3, cy - r // 4), max(1, r // 8), (40, 20, 0), -1)
            cv2.ellipse(x, (cx, cy), (r // 2, r // 2), 0, 20, 160, (40, 20, 0), max(1, r // 10))
        else:
            cv2.rectangle(x, (cx - r, cy - r // 2), (cx + r, cy + r // 2), fill, -1)
    return x


def screenshot(x: Picture, rng: np.random.Generator) -> Picture:
    """On a phone's or a browser's page, with lines of text around."""
    phone = rng.random() < 0.8
    h, w = (int(rng.integers(800, 1200)), 540) if phone else (600, int(rng.integers(700, 1000)))
    page = np.full((h, w, 3), 255 if rng.random() < 0.5 else int(rng.integers(10, 50)), np.uint8)
    page[: int(h * 0.07)] = _colour(rng)
    image = Image.fromarray(page)
    draw, ink = ImageDraw.Draw(image), (int(rng.integers(80, 160)),) * 3
    for _ in range(rng.integers(2, 9)):
        font = ImageFont.load_default(int(rng.integers(16, 30)))
        draw.text((rng.uniform(0, 0.3) * w, rng.uniform(0, 0.97) * h), _words(rng, 5, 30), ink, font)
    page = np.array(image)
    width = int(w * rng.uniform(0.45, 1))
    shown = _resize(x, width, int(x.shape[0] * width / x.shape[1]))[: int(h * 0.85)]
    top, left = rng.integers(0, h - shown.shape[0] + 1), rng.integers(0, w - shown.shape[1] + 1)
    page[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return page


def paste(x: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A part of another picture."""
    h, w = 480, 640
    page = cv2.resize(other, (w, h)).copy()
    scale = min(w / x.shape[1], h / x.shape[0]) * rng.uniform(0.33, 0.85)
    small = _resize(x, int(x.shape[1] * scale), int(x.shape[0] * scale))[:h, :w]
    top, left = rng.integers(0, h - small.shape[0] + 1), rng.integers(0, w - small.shape[1] + 1)
    page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return page


def blend(x: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    weight = rng.uniform(0.1, 0.45)
    return cv2.addWeighted(x, 1 - weight, cv2.resize(other, (x.shape[1], x.shape[0])), weight, 0)


_WEIGHTED: tuple[tuple[Callable[[Picture, np.random.Generator], Picture], float], ...] = (
    (crop, 3), (lambda x, rng: crop(x, rng, 0.12, 0.4), 3), (lambda x, _: x[:, ::-1], 2), (lambda x, _: x[::-1], 1),
    (lambda x, rng: np.rot90(x, int(rng.integers(1, 4))), 2), (rotate, 2), (perspective, 1), (caption, 1.5),
    (stickers, 1.5), (screenshot, 2.5), (blur, 1), (noise, 1), (colours, 2), (grey, 1), (aspect, 1), (pad, 1),
    (coarse, 1), (jpeg, 0.7),
)  # fmt: skip
_COLLAGES: tuple[tuple[Callable[[Picture, np.random.Generator, Picture], Picture], float], ...] = (
    (paste, 2.5), (blend, 1.5),
)  # fmt: skip


def attack(x: Picture, rng: np.random.Generator, background: Backgrounds) -> Picture:
    """One to three attacks in a row, drawn by weight; never the empty one."""
    operations = [(op, weight, False) for op, weight in _WEIGHTED] + [(op, weight, True) for op, weight in _COLLAGES]
    weights = np.array([weight for _, weight, _ in operations])
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    for index in rng.choice(len(operations), count, replace=False, p=weights / weights.sum()):
        op, _, needs_other = operations[int(index)]
        if min(x.shape[:2]) < _SMALLEST:
            break
        x = np.ascontiguousarray(x)
        x = op(x, rng, background(rng)) if needs_other else op(x, rng)  # type: ignore[call-arg]
    return np.ascontiguousarray(x)
