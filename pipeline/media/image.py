"""Decoding stills: strictly, upright, onto three channels, and no larger than the plug-ins need.

JPEGs go through OpenCV's libjpeg-turbo, a quarter faster than Pillow's; it decodes a truncated file silently (the
rest is grey), so the markers are walked first. Everything else, CMYK JPEGs too, goes through Pillow, which refuses
truncated data by itself. Both decode to the same pixels.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from materials.errors import Rejected
from model_plugins.protocol import ImageMedia
from pipeline.media.complaints import Complaints
from pipeline.media.image_structure import MAX_SCANS, is_cut, is_image_header, lacks_rows, scans_of_jpeg
from pipeline.media.limits import MediaLimits
from pipeline.media.shown import shown

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
BACKGROUND = 245
"""Light grey under transparent pixels: neither black nor white drawings vanish on it."""

_STRIP_PIXELS = 2_000_000
_ORIENTATION = 0x0112  # EXIF 2.32, tag 274
_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
Image.init()
# our own limit is asked first, and answers in our own words
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False


def decode_image(
    data: bytes, uri: str, limits: MediaLimits, min_side: int = 0, complaints: Complaints | None = None
) -> ImageMedia:
    """The first frame of an image file.

    Args:
        data: the whole file.
        uri: names the medium in errors.
        limits: `max_pixels` is asked of the header.
        min_side: the pixels may be halved, quartered or taken by eight as long as the shorter side keeps this many;
            0 keeps them all.
        complaints: standard error, to hear what libjpeg says of a JPEG; None: its damage goes unnoticed where its
            structure is whole.

    Raises:
        Rejected: `empty_file`, `not_an_image`, `truncated_image`, `corrupt_image`, `too_many_pixels`,
            `too_many_scans`.
    """
    image = open_image(data, uri, limits)
    width, height = image.size
    factor = reduction(min(width, height), min_side)
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        if complaints is not None:
            complaints.forget()
        rgb = _decode_jpeg(data, factor)
        if complaints is not None and complaints.tell_of_damage():
            raise _corrupt(uri)
        if rgb is not None:
            return ImageMedia(*_upright(rgb, _orientation(image), width, height))
    rgb = _decode_with_pillow(image, data, uri)
    # a TIFF is turned by Pillow itself, which then forgets the tag and reports the upright size
    width, height = image.size
    if factor > 1:
        size = (-(-width // factor), -(-height // factor))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return ImageMedia(*_upright(rgb, _orientation(image), width, height))


def open_image(data: bytes, uri: str, limits: MediaLimits) -> Image.Image:
    """The header, checked; no pixel is decoded.

    Raises:
        Rejected: as `decode_image`, but for damage inside the picture.
    """
    if not data:
        raise Rejected("empty_file", f"{shown(uri)} has no content (0 bytes); upload it again")
    if data.startswith(b"\xff\xd8\xff") and is_cut(data):  # Pillow reads a flood of fill bytes one by one
        raise _truncated(uri)
    image = _open(data, uri)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise Rejected(
            "too_many_pixels",
            f"{shown(uri)} has {width} x {height} pixels, more than the limit of {limits.max_pixels}; scale it down",
        )
    if is_cut(data):
        raise _truncated(uri)
    if image.format in ("JPEG", "MPO"):
        _check_scans(scans_of_jpeg(data), uri)
    return image


def _check_scans(scans: int, uri: str) -> None:
    if scans > MAX_SCANS:
        raise Rejected("too_many_scans", f"{shown(uri)} has {scans} scans, more than {MAX_SCANS}; save it anew")
    if scans < 1:
        raise _corrupt(uri)


def reduction(shorter: int, min_side: int) -> int:
    """The largest of 8, 4, 2, 1 by which the shorter side can be divided (rounding up) and still be `min_side`."""
    if min_side <= 0:
        return 1
    return next((factor for factor in (8, 4, 2) if -(-shorter // factor) >= min_side), 1)


def _open(data: bytes, uri: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # parsers of hostile bytes raise whatever they stumble on: struct.error, KeyError, …
        if is_image_header(data):
            raise (_truncated(uri) if is_cut(data) else _corrupt(uri)) from error
        raise Rejected(
            "not_an_image",
            f"{shown(uri)} is not an image that can be read; give JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP",
        ) from error


def _truncated(uri: str) -> Rejected:
    return Rejected("truncated_image", f"{shown(uri)} ends in the middle of the picture; upload the whole file")


def _corrupt(uri: str) -> Rejected:
    return Rejected("corrupt_image", f"{shown(uri)} is damaged and cannot be decoded; upload an intact file")


def _decode_jpeg(data: bytes, factor: int) -> NDArray[np.uint8] | None:
    """uint8 [h, w, 3] as stored, not yet upright; None where OpenCV cannot (12 bits, arithmetic coding)."""
    flags = _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        return None
    return np.asarray(pixels if factor == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode_with_pillow(image: Image.Image, data: bytes, uri: str) -> NDArray[np.uint8]:
    try:
        image.load()
        if image.format == "PNG" and _ends_in_nothing(image) and lacks_rows(data, *image.size):
            raise _truncated(uri)
        return to_rgb(image)
    except (MemoryError, Rejected):
        raise
    except Exception as error:
        cut = is_cut(data, last_resort=True) or "truncated" in str(error)
        raise (_truncated(uri) if cut else _corrupt(uri)) from error


def _ends_in_nothing(image: Image.Image) -> bool:
    width, height = image.size
    return image.crop((0, height - 1, width, height)).getbbox(alpha_only=False) is None


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Any of Pillow's modes -> uint8 [h, w, 3]; transparency is laid on light grey, 16 bits keep their upper eight."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // max(1, width))
    if height <= rows:
        return _strip_to_rgb(image, _scale(image))
    # in strips: each step below makes a copy, and of 64 megapixels they would take two gigabytes
    scale = _scale(image)
    whole = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        whole[top:bottom] = _strip_to_rgb(image.crop((0, top, width, bottom)), scale)
    return whole


def _strip_to_rgb(image: Image.Image, scale: float) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_to_eight_bits(np.asarray(image), scale)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        image = Image.alpha_composite(ground, layer)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def _scale(image: Image.Image) -> float:
    """To eight bits. Integers are 16-bit unless all fit into eight; floats are 0..1 unless they exceed it, then 0..255;
    of other modes 1."""
    if not image.mode.startswith("I") and image.mode != "F":
        return 1.0
    values = np.asarray(image)
    top = float(values.max(initial=0))
    if values.dtype.kind == "f":
        return 255.0 if top <= 1.0 else 1.0
    return 255.0 / 65535.0 if values.dtype.itemsize == 2 or top > 255 else 1.0


def _to_eight_bits(values: NDArray[Any], scale: float) -> NDArray[np.uint8]:
    scaled = np.nan_to_num(values.astype(np.float32) * np.float32(scale), nan=0.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info and "Raw profile type exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block does not make the picture bad: it is taken as stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(rgb: NDArray[np.uint8], orientation: int, width: int, height: int) -> tuple[NDArray[np.uint8], int, int]:
    """Pixels and size of the file, turned as EXIF's orientation 1..8 says."""
    if orientation >= 5:
        rgb, width, height = rgb.transpose(1, 0, 2), height, width
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb), width, height
