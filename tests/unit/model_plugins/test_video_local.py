"""Key frames' keypoints: which frames, what a row holds, and what has none."""

from __future__ import annotations

import numpy as np
import pytest

from materials.errors import Permanent, Rejected
from model_plugins.builtin.video_local import MAX_FRAMES, ROW_BYTES, VideoLocal, key_frames
from model_plugins.features import local
from model_plugins.protocol import VideoMedia
from model_plugins.registry import load


def noise(seed: int, tall: int = 120, wide: int = 160) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (tall // 8, wide // 8, 3)).astype(np.uint8)
    return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)


def media(frames: list[np.ndarray]) -> VideoMedia:
    times = np.arange(len(frames)) / 2.0
    return VideoMedia(np.stack(frames), times, len(frames) / 2.0, frames[0].shape[1], frames[0].shape[0])


def test_key_frames_are_spread_and_bounded() -> None:
    times = np.arange(16) / 2.0
    chosen = key_frames(times, np.ones(16, bool))
    assert len(chosen) == 6
    assert np.diff(times[chosen]).min() >= 1.0
    long = np.arange(2000) / 2.0
    assert len(key_frames(long, np.ones(2000, bool))) == MAX_FRAMES
    assert key_frames(times[:1], np.ones(1, bool)).tolist() == [0]


def test_dark_frames_are_passed_over_unless_all_are_dark() -> None:
    times = np.arange(8) / 2.0
    telling = np.array([False, False, False, False, True, True, True, True])
    assert key_frames(times, telling).min() >= 4
    assert len(key_frames(times, np.zeros(8, bool))) == 3


def test_rows_hold_the_time_and_the_keypoints_of_a_still() -> None:
    frames = [noise(seed) for seed in range(4)]
    plugin = VideoLocal()
    feature = plugin.interpret(plugin.prepare(media(frames)))
    rows = feature.array()
    assert feature.schema == "timed-keypoints"
    assert rows.shape[1] == ROW_BYTES
    stamps = np.ascontiguousarray(rows[:, :4]).view("<u4").ravel()
    for stamp in np.unique(stamps):
        packed = local.pack(local.detect(frames[int(stamp) // 500], 112), local.fitted_basis())
        assert np.array_equal(rows[stamps == stamp, 4:], packed)


def test_nothing_to_see() -> None:
    plugin = VideoLocal()
    black = media([np.zeros((120, 160, 3), np.uint8)] * 3)
    assert plugin.interpret(plugin.prepare(black)).shape == (0, ROW_BYTES)
    with pytest.raises(Rejected, match="no frame"):
        plugin.prepare(VideoMedia(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0), 0.0, 2, 2))
    with pytest.raises(Permanent, match="shape"):
        plugin.interpret({"keypoints": np.zeros((1, 3, 52), np.uint8)})


def test_a_job_may_name_it() -> None:
    assert load(["video-local"])["video-local"].manifest.key == "video-local@1"
