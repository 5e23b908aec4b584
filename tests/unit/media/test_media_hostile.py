"""Crafted files, straight at the decoders: each is refused with a reason, and costs little."""

from __future__ import annotations

import io
import time
import zlib

import numpy as np
import pytest
from hostile import clips, pictures
from hostile.pictures import PNG, chunk
from PIL import Image

from materials.errors import Rejected
from pipeline.media.image import decode_image
from pipeline.media.image_structure import MAX_SCANS, lacks_rows, scans_of_jpeg
from pipeline.media.limits import MediaLimits
from pipeline.media.video import decode_video

LIMITS = MediaLimits(max_pixels=16_000_000)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it remarks on odd tags


def noise(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = np.random.default_rng(9).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def code(data: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        decode_image(data, "x", LIMITS)
    return caught.value.code


def test_every_crafted_picture_is_refused() -> None:
    for name, data in pictures.files().items():
        with pytest.raises(Rejected) as caught:
            decode_image(data, name, LIMITS)
        assert caught.value.sentence.startswith(f"'{name}'")


def test_every_crafted_clip_is_refused() -> None:
    for name, data in clips.files("127.0.0.1:1", side=4800).items():
        with pytest.raises(Rejected) as caught:
            decode_video(data, name, LIMITS, hears=True)
        assert caught.value.sentence.startswith(f"'{name}'")


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_of_whole_pictures_are_counted(progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x010E] = "\xff\xda\xff\x01 what a thumbnail holds"
    data = noise("JPEG", progressive=progressive, exif=exif)
    assert scans_of_jpeg(data) == (10 if progressive else 1)
    assert scans_of_jpeg(data + b"\xff\xc0 what comes behind the picture") > 0
    assert decode_image(data, "x", LIMITS).width == 120


def test_markers_that_do_not_belong_in_a_scan() -> None:
    data = bytearray(noise("JPEG"))
    middle = data.index(b"\xff\xda") + 500
    for marker in (b"\xff\x02", b"\xff\xc0", b"\xff\xd8"):
        data[middle : middle + 2] = marker
        assert code(bytes(data)) == "corrupt_image"


def test_a_flood_of_scans_is_refused_before_it_is_decoded() -> None:
    data = noise("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert code(data[:-2] + data[last:-2] * MAX_SCANS + b"\xff\xd9") == "too_many_scans"


def test_a_flood_of_fill_bytes_costs_nothing() -> None:
    begun = time.process_time()
    assert code(b"\xff\xd8" + b"\xff" * 30_000_000) == "truncated_image"
    assert time.process_time() - begun < 1
    good = noise("JPEG")
    assert decode_image(good[:2] + b"\xff" * 100 + good[2:], "x", LIMITS).width == 120


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "LA", "I;16"])
def test_rows_that_never_came(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (70, 50)).save(buffer, "PNG")
    whole = buffer.getvalue()
    assert not lacks_rows(whole, 70, 50)
    assert decode_image(whole, "x", LIMITS).height == 50
    assert lacks_rows(whole, 70, 51)


def test_a_stream_that_ends_early_is_cut() -> None:
    header = chunk(b"IHDR", (1000).to_bytes(4, "big") * 2 + b"\x08\x06\0\0\0")
    half = np.random.default_rng(1).integers(0, 256, (500, 4001), np.uint8)
    half[:, 0] = 0
    data = PNG + header + chunk(b"IDAT", zlib.compress(half.tobytes(), 1)) + chunk(b"IEND", b"")
    assert code(data) == "truncated_image"


def test_large_pictures_are_laid_on_grey_in_strips() -> None:
    rgba = np.random.default_rng(2).integers(0, 256, (1500, 1600, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG", compress_level=0)
    got = decode_image(buffer.getvalue(), "x", LIMITS).rgb
    share = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * share + 245 * (1 - share)
    assert np.abs(got - expected).max() <= 2
