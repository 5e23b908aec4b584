"""What is kept of media can be decoded again, and the store stays within its bounds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import scene

from model_plugins.protocol import ImageMedia, VideoMedia
from pipeline.media.image import decode_image
from pipeline.media.limits import MediaLimits
from pipeline.media.store import LARGEST_SIDE, MediaStore, StoreLimits
from pipeline.media.video import decode_video

LIMITS = MediaLimits()


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def picture(side: int, seed: int = 0, quality: int = 90) -> tuple[bytes, ImageMedia]:
    rgb = scene(seed, side * 4 // 3, side)
    data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data, ImageMedia(rgb, rgb.shape[1], rgb.shape[0])


def test_a_small_file_is_kept_as_it_is(tmp_path: Path) -> None:
    store, (data, media) = MediaStore(tmp_path), picture(60)
    assert store.find(digest(data)) is None
    store.keep(digest(data), data, media)
    found = store.find(digest(data))
    assert found is not None
    assert found.read_bytes() == data
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [digest(data).hex()]


def test_of_a_large_picture_a_thumbnail_is_kept(tmp_path: Path) -> None:
    store, (data, media) = MediaStore(tmp_path), picture(1200, quality=100)
    store.keep(digest(data), data, media)
    again = decode_image(store.path(digest(data)).read_bytes(), "x", LIMITS)
    assert (again.width, again.height) == (LARGEST_SIDE, LARGEST_SIDE * 3 // 4)
    small = cv2.resize(media.rgb, (64, 48), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(cv2.resize(again.rgb, (64, 48), interpolation=cv2.INTER_AREA) - small).mean() < 4


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.5, 1.0, 1.5], [0.0, 2.0, 4.0]])
def test_of_a_large_video_the_frames_are_kept_at_their_times(tmp_path: Path, times: list[float]) -> None:
    frames = np.stack([scene(number, 161, 121) for number in range(len(times))])  # odd sides, too
    media = VideoMedia(frames, np.array(times), times[-1] + 0.5, 161, 121)
    data = bytes(2 * 1024 * 1024)
    store = MediaStore(tmp_path)
    store.keep(digest(data), data, media)
    again = decode_video(store.path(digest(data)).read_bytes(), "x", LIMITS)
    assert again.times.tolist() == times
    for before, after in zip(frames, again.frames, strict=True):
        assert np.abs(before.astype(int) - after).mean() < 8


def test_the_oldest_go_first_beyond_the_size_and_the_age(tmp_path: Path) -> None:
    clock = [1000.0]
    store = MediaStore(tmp_path, StoreLimits(max_bytes=256 * 40_000, ttl_s=500), lambda: clock[0])
    data, media = picture(60)
    names = []
    for number in range(64):  # all in one folder
        name = b"\x01" + number.to_bytes(31, "big")
        store.keep(name, data, media)
        os.utime(store.path(name), (number, 1000 + number))
        names.append(name)
    kept = [name for name in names if store.find(name)]
    assert kept == names[-len(kept) :], "not the oldest went first"
    assert len(kept) * len(data) <= 40_000 + 16 * len(data)
    clock[0] = 10_000.0
    for number in range(16):
        store.keep(b"\x01\x01" + number.to_bytes(30, "big"), data, media)
        os.utime(store.path(b"\x01\x01" + number.to_bytes(30, "big")), (10_000, 10_000))
    assert not any(store.find(name) for name in names), "what is too old is still there"


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    data, media = picture(60)
    (tmp_path / digest(data).hex()[:2]).write_text("a file where a folder should be")
    with pytest.raises(OSError, match=r"exists|directory"):
        MediaStore(tmp_path).keep(digest(data), data, media)
