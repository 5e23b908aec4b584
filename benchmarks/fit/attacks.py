"""What people do to a picture before they post it again: the training distribution of the image rankers.

Deliberately not the attacks of the benchmark: other parameters, other compositions, other code. All take and give
uint8 RGB [h, w, 3] and draw from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Random = np.random.Generator
LETTERS = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?#@ ")
TIMES = ((1, 0.5), (2, 0.3), (3, 0.2))
"""How many attacks one copy suffers, and how often."""


def _bytes(values: NDArray[np.floating]) -> Picture:
    return np.clip(values, 0, 255).astype(np.uint8)


def _resized(image: Picture, width: int, height: int, how: int = cv2.INTER_AREA) -> Picture:
    return np.asarray(cv2.resize(image, (max(8, width), max(8, height)), interpolation=how), np.uint8)


def reencode(image: Picture, random: Random) -> Picture:
    """JPEG at quality 6 to 40."""
    quality = int(random.integers(6, 40))
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def crop(image: Picture, random: Random) -> Picture:
    """A window of 12 to 85 % of the area, aspect ratio changed by up to a third."""
    height, width = image.shape[:2]
    area, ratio = random.uniform(0.12, 0.85), float(np.exp(random.uniform(-0.35, 0.35)))
    tall = int(np.clip(height * np.sqrt(area / ratio), 32, height))
    wide = int(np.clip(width * np.sqrt(area * ratio), 32, width))
    top, left = int(random.integers(0, height - tall + 1)), int(random.integers(0, width - wide + 1))
    return image[top : top + tall, left : left + wide]


def mirror(image: Picture, random: Random) -> Picture:
    """Left and right, seldom top and bottom."""
    return image[::-1] if random.random() < 0.25 else image[:, ::-1]


def quarter_turn(image: Picture, random: Random) -> Picture:
    """90, 180 or 270 degrees."""
    return np.rot90(image, int(random.integers(1, 4)))


def rotate(image: Picture, random: Random) -> Picture:
    """Up to 45 degrees either way, on black, on white or with the border repeated; sometimes the canvas grows."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-45, 45), 1.0)
    wide, tall = width, height
    if random.random() < 0.5:
        wide = int(height * abs(matrix[0, 1]) + width * abs(matrix[0, 0]))
        tall = int(height * abs(matrix[0, 0]) + width * abs(matrix[0, 1]))
    matrix[0, 2] += wide / 2 - width / 2
    matrix[1, 2] += tall / 2 - height / 2
    border = cv2.BORDER_REPLICATE if random.random() < 0.3 else cv2.BORDER_CONSTANT
    shade = 0 if random.random() < 0.7 else 255
    turned = cv2.warpAffine(image, matrix, (wide, tall), borderMode=border, borderValue=(shade, shade, shade))
    return np.asarray(turned, np.uint8)


def perspective(image: Picture, random: Random) -> Picture:
    """Each corner moves by up to 12 % of the sides."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + (random.uniform(-0.12, 0.12, (4, 2)) * [width, height]).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    return np.asarray(cv2.warpPerspective(image, matrix, (width, height)), np.uint8)


def stretch(image: Picture, random: Random) -> Picture:
    """One side longer by 10 to 100 %."""
    height, width = image.shape[:2]
    factor = random.uniform(1.1, 2.0)
    if random.random() < 0.5:
        return _resized(image, int(width * factor), height, cv2.INTER_LINEAR)
    return _resized(image, width, int(height * factor), cv2.INTER_LINEAR)


def shrink(image: Picture, random: Random) -> Picture:
    """To 10 to 50 % of the sides; half of the time blown up again."""
    height, width = image.shape[:2]
    scale = random.uniform(0.1, 0.5)
    small = _resized(image, int(width * scale), int(height * scale))
    return _resized(small, width, height, cv2.INTER_NEAREST) if random.random() < 0.5 else small


def blur(image: Picture, random: Random) -> Picture:
    """Gaussian, sigma up to 7 px on 640."""
    sigma = random.uniform(0.8, 7.0) * max(image.shape[:2]) / 640
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def noise(image: Picture, random: Random) -> Picture:
    """White, standard deviation 8 to 60."""
    return _bytes(image + random.normal(0, random.uniform(8, 60), image.shape))


def recolour(image: Picture, random: Random) -> Picture:
    """Brightness, contrast, hue and saturation."""
    strength = random.uniform(0.3, 0.9)
    bright = image.astype(np.float32) * random.uniform(1 - 0.6 * strength, 1 + 0.8 * strength)
    bright += random.uniform(-60, 60) * strength
    contrast = random.uniform(1 - 0.6 * strength, 1 + 0.8 * strength)
    hsv = cv2.cvtColor(_bytes((bright - bright.mean()) * contrast + bright.mean()), cv2.COLOR_RGB2HSV).astype(
        np.float32
    )
    hsv[..., 0] = (hsv[..., 0] + random.uniform(-35, 35) * strength) % 180
    hsv[..., 1] *= random.uniform(1 - 0.9 * strength, 1 + strength)
    return np.asarray(cv2.cvtColor(_bytes(hsv), cv2.COLOR_HSV2RGB), np.uint8)


def grey(image: Picture, random: Random) -> Picture:
    """Without colour, or tinted."""
    flat = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    tint = random.uniform(0.6, 1.1, 3) if random.random() < 0.4 else np.ones(3)
    return _bytes(flat * tint)


def _words(random: Random, shortest: int, longest: int) -> str:
    return "".join(random.choice(LETTERS, int(random.integers(shortest, longest))))


def caption(image: Picture, random: Random) -> Picture:
    """One to seven lines of text, some with an outline."""
    picture = Pillow.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    height, width = image.shape[:2]
    for _ in range(int(random.integers(1, 8))):
        font = ImageFont.load_default(max(9, int(height * random.uniform(0.05, 0.2))))
        place = (random.uniform(-0.05, 0.6) * width, random.uniform(0, 0.9) * height)
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        outline = "white" if random.random() < 0.5 else "black"
        text, stroke = _words(random, 3, 14), int(random.integers(0, 4))
        draw.text(place, text, font=font, fill=colour, stroke_width=stroke, stroke_fill=outline)
    return np.asarray(picture)


def stickers(image: Picture, random: Random) -> Picture:
    """One to six discs with faces, or boxes."""
    image = np.array(image)
    height, width = image.shape[:2]
    for _ in range(int(random.integers(1, 7))):
        size = int(min(height, width) * random.uniform(0.07, 0.24))
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        if random.random() < 0.6:
            cv2.circle(image, (x, y), size, colour, -1)
            cv2.circle(image, (x - size // 3, y - size // 4), max(1, size // 8), (40, 20, 0), -1)
            cv2.circle(image, (x + size // 3, y - size // 4), max(1, size // 8), (40, 20, 0), -1)
            cv2.ellipse(image, (x, y), (size // 2, size // 2), 0, 20, 160, (40, 20, 0), max(1, size // 10))
        else:
            cv2.rectangle(image, (x - size, y - size // 2), (x + size, y + size // 2), colour, -1)
    return image


def pad(image: Picture, random: Random) -> Picture:
    """Bars on some sides, up to 40 % of the side each."""
    height, width = image.shape[:2]
    wide = random.uniform(0, 0.4, 4) * (random.random(4) < 0.6) * [height, height, width, width]
    top, bottom, left, right = (int(value) for value in wide)
    shade = tuple(int(value) for value in random.integers(0, 256, 3)) if random.random() < 0.3 else (0, 0, 0)
    return np.asarray(cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=shade), np.uint8)


def screenshot(image: Picture, random: Random) -> Picture:
    """Inside the frame of a phone or of a desktop page, with lines of text."""
    tall, wide = (int(random.integers(800, 1200)), 540) if random.random() < 0.8 else (600, 900)
    base = 255 if random.random() < 0.5 else int(random.integers(10, 50))
    page = Pillow.new("RGB", (wide, tall), (base, base, base))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, wide, int(tall * 0.07)), fill=tuple(int(value) for value in random.integers(0, 256, 3)))
    for _ in range(int(random.integers(2, 9))):
        font = ImageFont.load_default(int(random.integers(16, 30)))
        place = (random.uniform(0, 0.3) * wide, random.uniform(0, 0.97) * tall)
        draw.text(place, _words(random, 5, 22), font=font, fill=(120, 120, 120))
    canvas = np.array(page)
    width = int(wide * random.uniform(0.45, 1.0))
    shown = _resized(image, width, int(image.shape[0] * width / image.shape[1]))[: int(tall * 0.8)]
    lowest = tall - shown.shape[0]
    top = int(random.integers(min(int(tall * 0.05), lowest), lowest + 1))
    left = int(random.integers(0, wide - shown.shape[1] + 1))
    canvas[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return canvas


Frame = Callable[[Picture, Random], Picture]


def frame(design: Random) -> Frame:
    """One page of an app, drawn once: bars, buttons and fixed words around whatever picture it is given.

    What `screenshot` draws differs each time; the pictures of one frame share its pixels, as screenshots of one app do.
    A line or two of words, and the size of the picture, still differ from post to post.
    """
    wide, tall = (540, int(design.integers(860, 1200))) if design.random() < 0.8 else (900, 640)
    shades = [(255, 255, 255), tuple(int(value) for value in design.integers(10, 50, 3))]
    bar = tuple(int(value) for value in design.integers(0, 256, 3))
    ink = tuple(int(value) for value in design.integers(90, 170, 3))
    fixed = [
        ((design.uniform(0.02, 0.6) * wide, place * tall), int(design.integers(18, 32)), _words(design, 4, 26))
        for place in (design.uniform(0.01, 0.04), *design.uniform(0.9, 0.97, int(design.integers(1, 4))))
    ]
    pool = [_words(design, 4, 16) for _ in range(8)]
    top = int(tall * design.uniform(0.18, 0.28))
    lines = int(design.integers(0, 3))
    shares = (0.94, 0.75, 0.5) if design.random() < 0.5 else (1.0, 0.8, 0.6)
    portrait = design.random() < 0.7

    def show(image: Picture, random: Random) -> Picture:
        page = Pillow.new("RGB", (wide, tall), shades[int(random.integers(2))])
        draw = ImageDraw.Draw(page)
        draw.rectangle((0, 0, wide, int(tall * 0.065)), fill=bar)
        for place, size, words in fixed:
            draw.text(place, words, font=ImageFont.load_default(size), fill=ink)
        if portrait:
            colour = tuple(int(value) for value in random.integers(30, 226, 3))
            draw.ellipse((20, int(tall * 0.085), 80, int(tall * 0.085) + 60), fill=colour)
            name = pool[int(random.integers(len(pool)))]
            draw.text((95, int(tall * 0.095)), name, font=ImageFont.load_default(22), fill=ink)
        for line in range(lines):
            words = _words(random, 14, 20)
            draw.text((20, top - 34 * (line + 1)), words, font=ImageFont.load_default(24), fill=ink)
        width = int(wide * shares[int(random.integers(len(shares)))])
        shown = _resized(image, width, int(image.shape[0] * width / image.shape[1]))[: int(tall * 0.88) - top]
        canvas = np.array(page)
        left = (wide - shown.shape[1]) // 2
        canvas[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
        return canvas

    return show


def paste(image: Picture, random: Random, other: Picture) -> Picture:
    """Onto another picture, covering a third to 85 % of its sides."""
    ground = _resized(other, 640, 480)
    scale = random.uniform(0.33, 0.85) * min(640 / image.shape[1], 480 / image.shape[0])
    small = _resized(image, int(image.shape[1] * scale), int(image.shape[0] * scale))[:480, :640]
    top = int(random.integers(0, 480 - small.shape[0] + 1))
    left = int(random.integers(0, 640 - small.shape[1] + 1))
    ground[top : top + small.shape[0], left : left + small.shape[1]] = small
    return ground


def blend(image: Picture, random: Random, other: Picture) -> Picture:
    """Another picture shines through, 10 to 45 %."""
    share = random.uniform(0.1, 0.45)
    over = _resized(other, image.shape[1], image.shape[0])
    return np.asarray(cv2.addWeighted(np.ascontiguousarray(image), 1 - share, over, share, 0), np.uint8)


ALONE: dict[str, tuple[Callable[[Picture, Random], Picture], float]] = {
    "crop": (crop, 5.0),
    "mirror": (mirror, 2.5),
    "quarter_turn": (quarter_turn, 1.5),
    "rotate": (rotate, 2.0),
    "perspective": (perspective, 1.0),
    "stretch": (stretch, 1.0),
    "shrink": (shrink, 1.0),
    "blur": (blur, 1.0),
    "noise": (noise, 1.0),
    "recolour": (recolour, 2.0),
    "grey": (grey, 1.0),
    "caption": (caption, 1.5),
    "stickers": (stickers, 1.5),
    "pad": (pad, 1.0),
    "screenshot": (screenshot, 2.5),
    "reencode": (reencode, 1.0),
}
WITH_ANOTHER: dict[str, tuple[Callable[[Picture, Random, Picture], Picture], float]] = {
    "paste": (paste, 2.5),
    "blend": (blend, 1.5),
}


def attack(image: Picture, random: Random, others: Sequence[Picture]) -> tuple[Picture, tuple[str, ...]]:
    """One to three attacks in a random order -> the copy and the attacks' names."""
    names = [*ALONE, *WITH_ANOTHER]
    weights = np.array([entry[1] for entry in (*ALONE.values(), *WITH_ANOTHER.values())])
    times = int(random.choice([count for count, _ in TIMES], p=[share for _, share in TIMES]))
    done: list[str] = []
    for name in random.choice(names, times, replace=False, p=weights / weights.sum()):
        if min(image.shape[:2]) < 32:
            break
        image = np.ascontiguousarray(image)
        if name in ALONE:
            image = ALONE[name][0](image, random)
        else:
            image = WITH_ANOTHER[name][0](image, random, others[int(random.integers(len(others)))])
        done.append(str(name))
    return np.ascontiguousarray(image), tuple(done)
