"""The two plug-ins that call the image model, without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from materials.errors import Permanent
from model_plugins.builtin.image_embedding import SIDE, ImageEmbedding, squash
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.builtin.video_embedding import VideoEmbedding
from model_plugins.protocol import VideoMedia


def units(count: int) -> NDArray[np.float32]:
    values = np.random.default_rng(5).standard_normal((count, 256)).astype(np.float32)
    normed: NDArray[np.float32] = values / np.linalg.norm(values, axis=1, keepdims=True)
    return normed


def clip(frames: NDArray[np.uint8]) -> VideoMedia:
    return VideoMedia(frames, np.arange(len(frames)) / 2, len(frames) / 2, frames.shape[2], frames.shape[1])


def test_shrinking_averages_areas() -> None:
    """Stripes of one pixel become grey; point sampling would leave them, or make others up."""
    stripes = np.zeros((SIDE * 4, SIDE * 4, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(squash(stripes).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (1, 1), (1000, 3), (SIDE, 500)])
def test_any_shape_becomes_the_models(shape: tuple[int, int]) -> None:
    assert squash(gradient_scene(*shape, seed=1)).shape == (SIDE, SIDE, 3)


def test_the_image_feature_is_the_models_vector() -> None:
    vectors = units(1)
    feature = ImageEmbedding().interpret({"embedding": vectors})
    assert (feature.schema, feature.dtype, feature.shape) == ("vector", "float32", (256,))
    np.testing.assert_array_equal(feature.array(), vectors[0])


@pytest.mark.parametrize("vectors", [np.zeros((1, 256)), np.full((1, 256), np.nan), units(1) * 2, units(1)[:, :128]])
def test_what_another_model_answers_is_refused(vectors: NDArray[Any]) -> None:
    with pytest.raises(Permanent, match="image-embedding"):
        ImageEmbedding().interpret({"embedding": vectors.astype(np.float32)})


def test_dark_and_flat_frames_are_dropped_with_their_times() -> None:
    frames = np.stack([gradient_scene(120, 160, seed) for seed in range(5)])
    frames[0] = 2  # black
    frames[3] = 200  # a white card
    tensors = VideoEmbedding().prepare(clip(frames))
    assert tensors["times"].tolist() == [0.5, 1.0, 2.0]
    np.testing.assert_array_equal(tensors["image"][0], squash(frames[1]))


def test_a_video_of_nothing_else_keeps_them() -> None:
    assert len(VideoEmbedding().prepare(clip(np.zeros((4, 90, 90, 3), np.uint8)))["image"]) == 4


def test_the_video_feature_has_the_time_in_front() -> None:
    vectors, times = units(3), np.array([0.0, 0.5, 1.5])
    feature = VideoEmbedding().interpret({"embedding": vectors, "times": times})
    assert (feature.schema, feature.dtype, feature.shape) == ("timed-vectors", "float32", (3, 257))
    np.testing.assert_array_equal(feature.array()[:, 0], times)
    np.testing.assert_array_equal(feature.array()[:, 1:], vectors)
    with pytest.raises(Permanent, match="3 frame vectors for 2 frames"):
        VideoEmbedding().interpret({"embedding": vectors, "times": times[:2]})
