"""Logos and crops on real photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from photos import photo

from materials.errors import UsageError
from model_plugins.builtin.image_logos import SHIPPED_BANK, ImageLogos
from model_plugins.builtin.image_smart_crop import RATIOS, ImageSmartCrop
from model_plugins.features import logos, smart_crop
from model_plugins.protocol import ImageMedia

PHOTOS = ("astronaut", "coffee", "hummingbird", "tiger", "rocket", "chelsea")
PASTED = ("docker", "github", "wikipedia", "debian", "starbucks", "linux")


def marked(name: str, logo: str, inverted: bool) -> NDArray[np.uint8]:
    """The photo with the logo in its upper left quarter, turned by 15 degrees, then JPEG 60."""
    picture = photo(name).copy()
    mark = cv2.imread(str(SHIPPED_BANK / f"{logo}.png"), cv2.IMREAD_GRAYSCALE)
    assert mark is not None
    mark = cv2.resize(mark, (130, 130), interpolation=cv2.INTER_AREA)
    turned = cv2.warpAffine(
        np.pad(mark, 20, constant_values=255), cv2.getRotationMatrix2D((85, 85), 15, 1), (170, 170), borderValue=255
    )
    picture[10:180, 10:180] = (255 - turned if inverted else turned)[..., None]
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def test_logos_are_found_where_they_are_and_nowhere_else() -> None:
    bank = logos.read_bank(SHIPPED_BANK)
    hits = 0
    for number, (name, logo) in enumerate(zip(PHOTOS, PASTED, strict=True)):
        picture = marked(name, logo, inverted=bool(number % 2))
        found = logos.find(picture, bank)
        assert {one.name for one in found} <= {logo}
        if found:
            hits += 1
            centre = found[0].corners.mean(axis=0) * max(picture.shape[:2])
            assert np.abs(centre - 95).max() < 15
        assert logos.find(photo(name), bank) == []
    assert hits >= 4


def test_a_bank_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes((SHIPPED_BANK / "docker.png").read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    picture = marked("coffee", "docker", inverted=False)
    height, width = picture.shape[:2]
    found = ImageLogos(tmp_path).describe(ImageMedia(picture, width * 2, height * 2))
    assert [row["name"] for row in found["logos"]] == ["mine"]
    assert np.abs(np.mean(found["logos"][0]["corners"], axis=0) - 190).max() < 30, "corners are in pixels of the file"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    logos.read_bank.cache_clear()
    with pytest.raises(UsageError, match=r"broken\.png"):
        logos.read_bank(tmp_path)


SUBJECTS = {  # photo -> (part of the photo that is looked at, the subject in it), both x0, y0, x1, y1 in fractions
    "tiger": ((0.0, 0.0, 1.0, 1.0), (0.13, 0.0, 0.68, 1.0)),
    "astronaut": ((0.0, 0.0, 1.0, 1.0), (0.3, 0.02, 0.65, 0.5)),
    "hummingbird": ((0.25, 0.0, 1.0, 1.0), (0.0, 0.1, 0.75, 0.9)),
    "coffee": ((0.1, 0.0, 1.0, 1.0), (0.05, 0.02, 0.8, 0.95)),
    "rocket": ((0.0, 0.0, 1.0, 1.0), (0.45, 0.3, 0.56, 1.0)),
}


def test_crops_keep_the_subject() -> None:
    mine, middle = [], []
    for name, (part, box) in SUBJECTS.items():
        whole = photo(name)
        h, w = whole.shape[:2]
        rgb = np.ascontiguousarray(whole[int(part[1] * h) : int(part[3] * h), int(part[0] * w) : int(part[2] * w)])
        h, w = rgb.shape[:2]
        x0, y0, x1, y1 = box[0] * w, box[1] * h, box[2] * w, box[3] * h
        for crop in ImageSmartCrop().describe(ImageMedia(rgb, w, h))["crops"]:
            cw, ch = crop["width"], crop["height"]
            most = min(cw, x1 - x0) * min(ch, y1 - y0)
            for kept, (x, y) in ((mine, (crop["x"], crop["y"])), (middle, ((w - cw) // 2, (h - ch) // 2))):
                kept.append(max(0, min(x + cw, x1) - max(x, x0)) * max(0, min(y + ch, y1) - max(y, y0)) / most)
    assert np.mean(mine) >= 0.85, (mine, middle)
    assert np.mean(mine) > np.mean(middle), (mine, middle)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 5), st.sampled_from([1, 4]))
def test_a_crop_lies_in_the_picture_and_has_its_ratio(height: int, width: int, seed: int, larger: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    energy = smart_crop.energy(rgb)
    assert energy.sum() == pytest.approx(1, abs=1e-3)
    for ratio in RATIOS.values():
        crop = smart_crop.crop(energy, height * larger, width * larger, ratio)
        assert crop.x >= 0
        assert crop.y >= 0
        assert crop.x + crop.width <= width * larger
        assert crop.y + crop.height <= height * larger
        assert crop.width == width * larger or crop.height == height * larger
        assert abs(crop.width - crop.height * ratio) <= 1 + ratio
        assert 0 <= crop.score <= 1 + 1e-6


def test_a_flat_picture_is_cropped_in_the_middle() -> None:
    crop = smart_crop.crop(smart_crop.energy(np.full((100, 200, 3), 128, np.uint8)), 100, 200, 1.0)
    assert (crop.x, crop.width) == (50, 100)
