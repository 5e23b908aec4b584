"""Stills: what comes out upright and complete, and what is refused."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from materials.errors import Rejected
from pipeline.media.image import BACKGROUND, FORMATS, decode_image, reduction
from pipeline.media.limits import MediaLimits

LIMITS = MediaLimits()


def picture(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Four flat quarters, so that every orientation is another picture and JPEG keeps the colours."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2] = (250, 10, 10)
    rgb[: height // 2, width // 2 :] = (10, 250, 10)
    rgb[height // 2 :, : width // 2] = (10, 10, 250)
    rgb[height // 2 :, width // 2 :] = (250, 250, 10)
    return rgb


def corners(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A pixel well inside each quarter."""
    return rgb[[5, -6]][:, [5, -6]].astype(np.int64)


def noise(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    return cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8), (0, 0), 2)


def encoded(image: Image.Image | NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def code(data: bytes, limits: MediaLimits = LIMITS) -> str:
    with pytest.raises(Rejected) as caught:
        decode_image(data, "x.jpg", limits)
    assert "'x.jpg'" in caught.value.sentence
    return caught.value.code


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "PPM", "JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_formats(kind: str) -> None:
    media = decode_image(encoded(picture(), kind), "x", LIMITS)
    assert (media.width, media.height) == (64, 48)
    assert np.abs(corners(media.rgb) - corners(picture())).max() < 25


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    stored = Image.fromarray(picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    media = decode_image(encoded(stored, kind, exif=exif), "x", LIMITS)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF's number -> Pillow's transposition
    expected = np.asarray(stored.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else stored)
    assert media.rgb.shape == expected.shape
    assert (media.width, media.height) == (expected.shape[1], expected.shape[0])
    assert np.abs(corners(media.rgb) - corners(expected)).max() < 25


def test_transparency_lies_on_light_grey() -> None:
    layer = np.dstack([picture(), np.full((48, 64), 255, np.uint8)])
    layer[:, :32, 3] = 0
    for data in (encoded(layer), encoded(layer, "WEBP", lossless=True)):
        rgb = decode_image(data, "x", LIMITS).rgb
        assert (rgb[:, :32] == BACKGROUND).all()
        assert (rgb[:, 32:] == picture()[:, 32:]).all()
    palette = Image.fromarray(picture()).quantize(8)
    index = palette.getpixel((0, 0))
    assert (decode_image(encoded(palette, "PNG", transparency=index), "x", LIMITS).rgb[0, 0] == BACKGROUND).all()


def test_other_colours() -> None:
    ramp = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    assert np.abs(decode_image(encoded(Image.fromarray(ramp)), "x", LIMITS).rgb[..., 0] - ramp / 257.0).max() <= 1
    cmyk = decode_image(encoded(Image.fromarray(picture()).convert("CMYK"), "JPEG"), "x", LIMITS).rgb
    assert np.abs(cmyk[4, 4].astype(int) - (250, 10, 10)).max() < 25
    grey = decode_image(encoded(Image.fromarray(picture()).convert("L"), "JPEG"), "x", LIMITS).rgb
    assert grey.shape == (48, 64, 3)
    one_bit = decode_image(encoded(Image.fromarray(picture()).convert("1")), "x", LIMITS).rgb
    assert set(np.unique(one_bit)) <= {0, 255}
    floats = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    assert decode_image(encoded(floats, "TIFF"), "x", LIMITS).rgb[0, 0, 0] == 128


def test_animations_give_their_first_frame() -> None:
    frames = [Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (40, 200)]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert abs(int(decode_image(data, "x", LIMITS).rgb[0, 0, 0]) - 40) < 6


@given(st.integers(1, 9000), st.integers(0, 2000))
def test_reduction_keeps_the_side_and_is_the_largest(shorter: int, min_side: int) -> None:
    factor = reduction(shorter, min_side)
    assert factor == 1 or -(-shorter // factor) >= min_side > 0
    assert factor == 8 or min_side == 0 or -(-shorter // (factor * 2)) < min_side


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("min_side", "height"), [(0, 240), (121, 240), (120, 120), (60, 60), (30, 30), (1, 30)])
def test_pixels_that_nobody_needs_are_left_out(kind: str, min_side: int, height: int) -> None:
    media = decode_image(encoded(noise(), kind), "x", LIMITS, min_side)
    assert media.rgb.shape[0] == height
    assert (media.width, media.height) == (320, 240)
    whole = cv2.resize(noise(), media.rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(media.rgb.astype(int) - whole).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files_are_refused(kind: str, share: float) -> None:
    data = encoded(noise(), kind)
    assert code(data[: int(len(data) * share)]) in ("truncated_image", "corrupt_image")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_truncated_jpegs_are_refused_wherever_they_end(options: dict[str, object]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9 the end of a thumbnail"
    data = encoded(noise(), "JPEG", exif=exif, **options)
    assert decode_image(data + b"trailing bytes", "x", LIMITS).width == 320
    for end in (*range(3, 700, 7), *range(700, len(data) - 1, 501), len(data) - 1):
        assert code(data[:end]) == "truncated_image", end
    assert code(data[: len(data) // 2] + bytes(1000)) == "truncated_image", "a preallocated file, not filled"


@pytest.mark.parametrize(
    "data", [b"hello", b"\0" * 100, b"%PDF-1.7", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_not_an_image(data: bytes) -> None:
    assert code(data) == "not_an_image"


def test_empty() -> None:
    assert code(b"") == "empty_file"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_the_pixel_limit_is_asked_of_the_header(kind: str) -> None:
    data = encoded(picture(), kind)
    assert code(data, MediaLimits(max_pixels=64 * 48 - 1)) == "too_many_pixels"
    assert decode_image(data, "x", MediaLimits(max_pixels=64 * 48)).width == 64


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = bytearray(encoded(picture()))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # IHDR: 10 GB of pixels
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    assert code(bytes(bomb)) == "too_many_pixels"


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF"]), st.data())
def test_damage_gives_a_picture_or_a_reason(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(encoded(picture(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        media = decode_image(bytes(damaged), "x", MediaLimits(max_pixels=1_000_000))
    except Rejected as error:
        outcome = error.code
    else:
        assert media.rgb.dtype == np.uint8
        assert media.rgb.shape == (media.height, media.width, 3)
        outcome = "decoded"
    assert outcome in ("decoded", "not_an_image", "truncated_image", "corrupt_image", "too_many_pixels")


def test_the_formats_are_those_that_pillow_was_built_with() -> None:
    assert set(FORMATS) <= set(Image.OPEN)
