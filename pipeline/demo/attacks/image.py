"""Image attacks: an RGB picture -> the bytes of a file that shows the same picture.

Mild to middling by design: the demo's truth says that a copy is a near-duplicate, so that a person must agree.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps
from PIL.Image import Resampling

CAPTIONS: Final = (
    "you have to see this",
    "photo of the day",
    "wait for it...",
    "repost if you agree",
    "@daily_pictures",
)


def _jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(10, int(size)))


def recompress(picture: Image.Image, rng: Random) -> bytes:
    """JPEG at quality 18 to 35."""
    return _jpeg(picture, rng.randint(18, 35))


def webp(picture: Image.Image, rng: Random) -> bytes:
    """Another format."""
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=rng.randint(40, 70))
    return out.getvalue()


def crop(picture: Image.Image, rng: Random) -> bytes:
    """Keeps 60 to 80 % of the area."""
    side = rng.uniform(0.6, 0.8) ** 0.5
    width, height = int(picture.width * side), int(picture.height * side)
    x, y = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return _jpeg(picture.crop((x, y, x + width, y + height)))


def mirror(picture: Image.Image, rng: Random) -> bytes:
    """Left to right, a little brighter."""
    return _jpeg(ImageEnhance.Brightness(ImageOps.mirror(picture)).enhance(rng.uniform(1.0, 1.1)))


def resize(picture: Image.Image, rng: Random) -> bytes:
    """40 to 60 % of the side."""
    k = rng.uniform(0.4, 0.6)
    small = picture.resize((max(96, int(picture.width * k)), max(96, int(picture.height * k))), Resampling.BILINEAR)
    return _jpeg(small)


def caption(picture: Image.Image, rng: Random) -> bytes:
    """A line of text across the lower third, outlined."""
    out = picture.copy()
    size = out.height * rng.uniform(0.06, 0.09)
    at = (out.width * rng.uniform(0.03, 0.15), out.height * rng.uniform(0.68, 0.85))
    draw = ImageDraw.Draw(out)
    draw.text(at, rng.choice(CAPTIONS), font=_font(size), fill="white", stroke_width=2, stroke_fill="black")
    return _jpeg(out)


def colour(picture: Image.Image, rng: Random) -> bytes:
    """Brightness, contrast and saturation moved by up to 35 %."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(1 + rng.choice((-1, 1)) * rng.uniform(0.15, 0.35))
    return _jpeg(picture)


def grey(picture: Image.Image, rng: Random) -> bytes:
    """Black and white."""
    return _jpeg(ImageOps.autocontrast(ImageOps.grayscale(picture), cutoff=rng.uniform(0, 1)).convert("RGB"))


def soften(picture: Image.Image, rng: Random) -> bytes:
    """A slight blur, as of a photographed screen."""
    return _jpeg(picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 1.8) * max(picture.size) / 640)))


def border(picture: Image.Image, rng: Random) -> bytes:
    """Bars above and below, or a frame all around."""
    bar = int(picture.height * rng.uniform(0.08, 0.14))
    sides = rng.choice((0, bar))
    return _jpeg(ImageOps.expand(picture, (sides, bar), rng.choice(((0, 0, 0), (255, 255, 255)))))


def screenshot(picture: Image.Image, rng: Random) -> bytes:
    """A phone's screen with the picture in a feed."""
    width, margin = 540, rng.choice((0, 16))
    dark = rng.random() < 0.5
    shown = ImageOps.contain(picture, (width - 2 * margin, 640), Resampling.LANCZOS)
    screen = Image.new("RGB", (width, 150 + shown.height + 130), (24, 24, 27) if dark else (255, 255, 255))
    ink = (190, 190, 195) if dark else (90, 90, 95)
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, width, 54), fill=(235, 110, 30))
    draw.text((18, 14), "9:41      Discover", font=_font(24), fill="white")
    draw.ellipse((18, 72, 78, 132), fill=tuple(rng.randint(60, 200) for _ in range(3)))
    draw.text((94, 76), rng.choice(CAPTIONS), font=_font(22), fill=ink)
    draw.text((94, 106), f"{rng.randint(2, 59)} min ago", font=_font(18), fill=ink)
    screen.paste(shown, ((width - shown.width) // 2, 150))
    footer = f"{rng.randint(100, 999)} reposts     {rng.randint(10, 99)} comments"
    draw.text((18, 170 + shown.height), footer, font=_font(20), fill=ink)
    return _jpeg(screen)


IMAGE_ATTACKS: Final[dict[str, Callable[[Image.Image, Random], bytes]]] = {
    attack.__name__: attack
    for attack in (
        crop, recompress, screenshot, caption, mirror, resize, colour, border, webp, soften, grey
    )
}  # fmt: skip


def file_ending(attack: str) -> str:
    """The ending of the file that an attack makes."""
    return "webp" if attack == "webp" else "jpg"
