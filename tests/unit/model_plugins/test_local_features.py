"""SIFT in 48 bytes: the mirrored picture's descriptors are the stored ones with signs flipped."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model_plugins.builtin.image_local import ImageLocal
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import local
from model_plugins.protocol import ImageMedia


def scene(seed: int = 3, height: int = 360, width: int = 480) -> NDArray[np.uint8]:
    """Blobs and boxes: many keypoints."""
    random = np.random.default_rng(seed)
    picture = gradient_scene(height, width, seed).astype(np.float32)
    for _ in range(60):
        y, x = int(random.integers(0, height - 30)), int(random.integers(0, width - 30))
        tall, wide = (int(side) for side in random.integers(5, 30, 2))
        picture[y : y + tall, x : x + wide] = random.uniform(0, 255, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


def unit(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    vectors = np.ascontiguousarray(rows[:, 4:]).view(np.int8).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pack(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return local.pack(local.detect(rgb), local.fitted_basis())


def test_mirror_permutation_is_an_involution_without_fixed_points() -> None:
    assert np.array_equal(local.MIRROR[local.MIRROR], np.arange(128))
    assert not np.any(np.arange(128) == local.MIRROR)


def test_mirrored_picture_has_the_same_descriptors_but_for_signs() -> None:
    rgb = scene()
    ours, theirs = unit(pack(rgb)), unit(pack(np.ascontiguousarray(rgb[:, ::-1])))
    flipped = ours.copy()
    flipped[:, -local.ODD :] *= -1
    agree = (flipped @ theirs.T).max(axis=1)
    assert np.median(agree) > 0.99
    assert np.median(agree) > np.median((ours @ theirs.T).max(axis=1)) + 0.02


def test_basis_is_orthonormal_and_split_by_symmetry() -> None:
    mean, axes = local.fitted_basis()
    assert np.allclose(axes.T @ axes, np.eye(local.COMPONENTS), atol=1e-4)
    even, odd = axes[:, : -local.ODD], axes[:, -local.ODD :]
    assert np.allclose(even[local.MIRROR], even, atol=1e-5)
    assert np.allclose(odd[local.MIRROR], -odd, atol=1e-5)
    assert np.allclose(mean[local.MIRROR], mean, atol=1e-5)


def test_fit_basis_finds_the_symmetric_directions_of_any_data() -> None:
    data = np.random.default_rng(0).random((400, 128)).astype(np.float32)
    basis = local.fit_basis(data)
    low, twin = (data - basis.mean) @ basis.axes, (data[:, local.MIRROR] - basis.mean) @ basis.axes
    signs = np.array([1] * (local.COMPONENTS - local.ODD) + [-1] * local.ODD)
    assert np.allclose(low * signs, twin, atol=1e-4)


def test_layout_places_and_limit() -> None:
    rgb = scene()
    points = local.detect(rgb)
    rows = local.pack(points, local.fitted_basis())
    assert rows.shape == (len(points.xy), 52)
    assert 100 < len(rows) <= local.MAX_POINTS
    stored = np.ascontiguousarray(rows[:, :4]).view("<u2") / 65535
    assert np.abs(stored - points.xy).max() < 1e-4
    assert stored[:, 0].max() <= 1.0
    assert stored[:, 1].max() <= 360 / 480 + 1e-3


def test_size_of_the_file_does_not_matter() -> None:
    """The same scene at twice the pixels gives (mostly) the same places: units are of the longer side."""
    rgb = scene()
    doubled = np.repeat(np.repeat(rgb, 2, axis=0), 2, axis=1)
    one, two = local.detect(rgb).xy, local.detect(doubled).xy
    nearest = np.linalg.norm(one[:, None] - two[None], axis=2).min(axis=1)
    assert np.mean(nearest < 0.01) > 0.8


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 40), (1, 700)])
def test_flat_and_tiny_pictures_have_no_keypoints(shape: tuple[int, int]) -> None:
    media = ImageMedia(rgb=np.full((*shape, 3), 90, np.uint8), width=shape[1], height=shape[0])
    plugin = ImageLocal()
    feature = plugin.interpret(plugin.prepare(media))
    assert feature.shape == (0, 52)
    assert feature.array().shape == (0, 52)


def test_deterministic() -> None:
    assert np.array_equal(pack(scene(8)), pack(scene(8)))


def test_extraction_with_noise_keeps_descriptors() -> None:
    """A real invariance: noise and darkening leave most strong keypoints matchable."""
    rgb = scene()
    noisy = np.clip(rgb * 0.8 + np.random.default_rng(1).normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
    agree = (unit(pack(rgb)) @ unit(pack(noisy)).T).max(axis=1)
    assert np.mean(agree > 0.9) > 0.6
