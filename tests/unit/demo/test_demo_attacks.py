"""Attacks are deterministic, change what they get, and leave a readable medium."""

from __future__ import annotations

import io
from random import Random

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from x264 import X264

from pipeline.demo.attacks.image import IMAGE_ATTACKS
from pipeline.demo.attacks.text import TEXT_ATTACKS
from pipeline.demo.attacks.video import VIDEO_ATTACKS, Recipe, frames, transcode


def _picture(seed: int = 3) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def _movie(seconds: float = 2.0, rate: int = 10) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=dict(X264))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        base = _picture().resize((320, 240))
        for i in range(int(seconds * rate)):
            shown = base.crop((i * 5, 0, 160 + i * 5, 120))
            container.mux(stream.encode(av.VideoFrame.from_image(shown)))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("name", IMAGE_ATTACKS)
def test_an_image_attack_is_deterministic_and_seeded(name: str) -> None:
    attack, picture = IMAGE_ATTACKS[name], _picture()
    before = picture.tobytes()
    assert attack(picture, Random(5)) == attack(picture, Random(5))
    assert len({attack(picture, Random(seed)) for seed in range(6)}) > 1
    assert picture.tobytes() == before, "the original must stay as it was"


@pytest.mark.parametrize("name", IMAGE_ATTACKS)
def test_an_attacked_image_opens_and_differs(name: str) -> None:
    picture = _picture()
    with Image.open(io.BytesIO(IMAGE_ATTACKS[name](picture, Random(5)))) as opened:
        attacked = opened.convert("RGB")
    assert min(attacked.size) >= 90
    same_size = attacked.resize(picture.size)
    assert np.abs(np.asarray(same_size, np.int16) - np.asarray(picture, np.int16)).mean() > 0.3


def test_the_mirror_is_the_mirror() -> None:
    picture = _picture()
    with Image.open(io.BytesIO(IMAGE_ATTACKS["mirror"](picture, Random(5)))) as opened:
        mirrored = np.asarray(opened.convert("L"), np.float64)[:, ::-1]
    original = np.asarray(picture.convert("L"), np.float64)
    assert np.corrcoef(mirrored.ravel(), original.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", VIDEO_ATTACKS)
def test_a_video_attack_is_deterministic_and_playable(name: str) -> None:
    movie = _movie()
    made = [transcode(movie, VIDEO_ATTACKS[name](2.0, Random(9))) for _ in range(2)]
    assert made[0] == made[1]
    shown = list(frames(made[0], 0.0, 99.0, 10))
    assert len(shown) >= 12


def test_a_clip_keeps_its_part_and_its_length() -> None:
    movie = _movie(seconds=3.0)
    cut = list(frames(transcode(movie, Recipe(start=1.0, stop=2.5, rate=10)), 0.0, 99.0, 10))
    whole = list(frames(movie, 0.0, 99.0, 10))
    assert 14 <= len(cut) <= 16

    def distance(i: int) -> float:
        a, b = np.asarray(cut[0], np.float64), np.asarray(whole[i], np.float64)
        return float(np.abs(a - b).mean())

    assert min(range(len(whole)), key=distance) in (9, 10, 11)


def test_a_clip_beyond_the_end_says_so() -> None:
    with pytest.raises(ValueError, match="no frame between"):
        transcode(_movie(), Recipe(start=50.0, stop=60.0))


@pytest.mark.parametrize("name", TEXT_ATTACKS)
@given(text=st.text(min_size=10, max_size=60), seed=st.integers(0, 10**6))
def test_a_text_attack_takes_any_text_and_is_deterministic(name: str, text: str, seed: int) -> None:
    attack = TEXT_ATTACKS[name]
    assert attack(text, Random(seed)) == attack(text, Random(seed))


@pytest.mark.parametrize("name", TEXT_ATTACKS)
def test_a_text_attack_keeps_digits_and_changes_the_text(name: str) -> None:
    text = "明天北京晴，最高气温18度，最低气温6度，北风3级，记得多穿衣服"
    for seed in range(20):
        edited = TEXT_ATTACKS[name](text, Random(seed))
        assert edited != text
        kept = "".join(c for c in edited if c.isdigit())
        assert kept == "1863"


def test_traditional_characters() -> None:
    assert TEXT_ATTACKS["traditional"]("这个图书馆", Random(1)) == "這個圖書館"
