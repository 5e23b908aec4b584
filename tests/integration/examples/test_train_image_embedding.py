"""The example as a person runs it, small: samples by a real batch job, a head that is the same for the same seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from readme import ROOT

from examples.train_image_embedding.samples import MANIFEST, ROWS, read_samples
from examples.train_image_embedding.train import towards, whitening
from materials.errors import UsageError
from model_plugins.library.signature import signature_of_onnx
from model_plugins.recipes.embedding_head import load_head


def python(module: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"examples.train_image_embedding.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "samples"
    python("make_samples", "--small", "--out", folder)
    return folder


def train(samples: Path, out: Path, *options: object) -> dict[str, Any]:
    done = python("train", "--samples", samples, "--out", out, "--steps", 40, *options)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_job_writes_a_whole_sample_library(samples: Path) -> None:
    library, views = read_samples(samples)
    assert len(library.photos) >= 10
    assert all(photo.licence for photo in library.photos)
    assert views.pooled.shape == (library.views, 3344)
    assert set(views.photo) == set(range(len(library.photos)))
    starts = np.r_[True, np.diff(views.instance) != 0]
    untouched, attacked = views.pooled[starts], views.pooled[~starts]
    # the first row of an instance is the picture itself: whole photos differ more among each other than from copies
    first = {int(photo): untouched[views.photo[starts] == photo][0] for photo in np.unique(views.photo)}
    own = [row @ first[int(photo)] for row, photo in zip(attacked, views.photo[~starts], strict=True)]
    other = [
        row @ first[(int(photo) + 1) % len(first)] for row, photo in zip(attacked, views.photo[~starts], strict=True)
    ]
    assert np.mean(own) > np.mean(other)


def test_the_same_seed_gives_the_same_head_and_another_seed_another(samples: Path, tmp_path: Path) -> None:
    first, again = train(samples, tmp_path / "a"), train(samples, tmp_path / "b")
    assert (tmp_path / "a/head.npz").read_bytes() == (tmp_path / "b/head.npz").read_bytes()
    assert (tmp_path / "a/model.onnx").read_bytes() == (tmp_path / "b/model.onnx").read_bytes()
    assert first == again
    assert train(samples, tmp_path / "c", "--seed", 2)["sha256"] != first["sha256"]


def test_the_model_can_take_the_shipped_ones_place(samples: Path, tmp_path: Path) -> None:
    train(samples, tmp_path)
    signature = signature_of_onnx((tmp_path / "model.onnx").read_bytes())
    assert str(signature) == "image UINT8[224, 224, 3] -> embedding FP32[256]"
    trained, shipped = load_head(tmp_path / "head.npz"), load_head()
    _, views = read_samples(samples)
    one, two = ((views.pooled - head.mean) @ head.weight for head in (trained, shipped))
    cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert not np.array_equal(one, two)
    assert cosine.mean() > 0.98, "the default keeps the space"


def test_a_library_that_is_not_whole_is_not_trained_on(samples: Path, tmp_path: Path) -> None:
    for folder in (samples, samples / ROWS):
        target = tmp_path / folder.relative_to(samples)
        target.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if file.is_file():
                (target / file.name).write_bytes(file.read_bytes())
    rows = next((tmp_path / ROWS).glob("*.jsonl"))
    rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(UsageError, match="not whole"):
        read_samples(tmp_path)
    (tmp_path / MANIFEST).unlink()
    assert "make_samples" in python("train", "--samples", tmp_path, code=1).stderr + read_error(tmp_path)


def read_error(folder: Path) -> str:
    with pytest.raises(UsageError) as raised:
        read_samples(folder)
    return raised.value.remedy


def test_whitening_is_the_same_from_either_side() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12))).astype(np.float32)
    mean, tall = whitening(x, 5)
    wide_mean, wide = whitening(np.concatenate([x, np.zeros((60, 80), np.float32)], axis=1), 5)
    assert np.allclose(mean, wide_mean[:12])
    mine, other = (x - mean) @ tall, (x - mean) @ wide[:12]
    assert np.allclose(np.abs((mine * other).sum(0)), (mine**2).sum(0), rtol=1e-3)


def test_the_gradient_towards_a_space_is_the_slope() -> None:
    rng = np.random.default_rng(0)
    z, a = rng.normal(size=(6, 5)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    wanted = rng.normal(size=(6, 4)).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)

    def loss(matrix: np.ndarray[Any, Any]) -> float:
        y = z.astype(np.float64) @ matrix
        return float(np.mean(1 - (y / np.linalg.norm(y, axis=1, keepdims=True) * wanted).sum(1)))

    slope = towards(z, a, wanted)
    for place in ((0, 0), (3, 2), (4, 1)):
        step = np.zeros(a.shape)
        step[place] = 1e-5
        assert slope[place] == pytest.approx((loss(a + step) - loss(a - step)) / 2e-5, rel=1e-3, abs=1e-5)
