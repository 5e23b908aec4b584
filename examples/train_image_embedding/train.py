"""Train the head of the image embedding on a sample library: `python -m examples.train_image_embedding.train`.

Loss: InfoNCE over two attacked views of each instance, plus the KoLeo entropy that spreads the embeddings (Sablayrolles
et al., "Spreading vectors for similarity search", ICLR 2019), as in SSCD (Pizzi et al., CVPR 2022), on the frozen
backbone's pooled features. Plain numpy on one core: the same samples and seed give the same bytes.

`--start head` goes on from the head that is shipped; `--keep-space` then holds each vector near what that head makes of
it (Shen et al., "Towards Backward-Compatible Representation Learning", CVPR 2020). `--start whitening` begins from
nothing but the samples' PCA.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # sums in one order, before numpy is imported

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fit.image_head import Floats, Views, loss_gradient, retrieval
from examples.train_image_embedding.samples import read_samples
from materials.errors import SosieError
from model_plugins.recipes.build import WEIGHTS, default_cache, read_weights
from model_plugins.recipes.efficientnet_lite import EMBEDDING_DIMENSION, build_model
from model_plugins.recipes.embedding_head import EmbeddingHead, load_head, save_head
from model_plugins.recipes.index_file import fetch
from model_plugins.recipes.torch_pickle import read_state_dict

WIDTH = 1024
"""Whitened features that the head is trained on."""
TEMPERATURE, KOLEO, DROPOUT, DECAY = 0.07, 0.3, 0.2, 0.02
RATE = {"head": 2e-4, "whitening": 1e-3}
BATCH = 256


def whitening(x: Floats, width: int, shrinkage: float = 0.05) -> tuple[Floats, Floats]:
    """Mean and a PCA-whitening [d, k], k at most `width`, whose small eigenvalues are lifted by `shrinkage` of the mean
    one. Of few rows the eigenvectors are taken from the small side: an order of magnitude less work."""
    mean = x.mean(0)
    centred = (x - mean).astype(np.float64)
    count, dimensions = x.shape
    if count < dimensions:
        values, sides = np.linalg.eigh(centred @ centred.T / count)
        order = np.argsort(-values)[: min(width, count - 1)]
        vectors = centred.T @ sides[:, order] / np.sqrt(count * np.maximum(values[order], 1e-12))
    else:
        values, sides = np.linalg.eigh(centred.T @ centred / count)
        order = np.argsort(-values)[:width]
        vectors = sides[:, order]
    matrix = vectors / np.sqrt(values[order] + shrinkage * values[order].mean())
    matrix /= np.sqrt(((centred @ matrix) ** 2).mean())
    return mean, matrix.astype(np.float32)


class Adam:
    """AdamW of one matrix (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019); decay is towards
    where it started."""

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix
        self._origin = matrix.copy()
        self._first, self._second, self._step = np.zeros_like(matrix), np.zeros_like(matrix), 0

    def update(self, gradient: Floats, rate: float) -> None:
        """One step."""
        self._step += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient * gradient
        step = self._first / (1 - 0.9**self._step) / (np.sqrt(self._second / (1 - 0.999**self._step)) + 1e-8)
        self.matrix = (self.matrix - rate * (step + DECAY * (self.matrix - self._origin))).astype(np.float32)


def pairs(views: Views, count: int, rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    """Rows of two different views of `count` instances: first all ones, then all twos."""
    starts = np.flatnonzero(np.r_[True, np.diff(views.instance) != 0])
    sizes = np.diff(np.r_[starts, len(views.instance)])
    chosen = rng.choice(len(starts), min(count, len(starts)), replace=False)
    one = np.where(rng.random(len(chosen)) < 0.5, 0, rng.integers(0, sizes[chosen]))
    two = (one + rng.integers(1, sizes[chosen])) % sizes[chosen]
    return np.asarray(np.r_[starts[chosen] + one, starts[chosen] + two], dtype=np.int64)


def towards(z: Floats, a: Floats, wanted: Floats) -> Floats:
    """Gradient in `a` of the mean of 1 - cosine between the rows of `z @ a` and the unit rows of `wanted`."""
    y = z @ a
    norm = np.linalg.norm(y, axis=1, keepdims=True) + 1e-6
    e = y / norm
    d_y = (e * (e * wanted).sum(1, keepdims=True) - wanted) / (norm * len(z))
    return np.asarray(z.T @ d_y, dtype=np.float32)


def train(views: Views, *, steps: int, seed: int, start: str, keep_space: float, say: bool = True) -> EmbeddingHead:
    """Views -> a head. Samples are whitened first: few photos know nothing of the features' finer directions."""
    rng = np.random.default_rng(seed)
    known = load_head()
    mean, white = whitening(views.pooled, WIDTH)
    width = white.shape[1]
    if start == "head":
        # the head is linear in the features: what is trained is a correction within the whitened directions
        mean, base = known.mean, known.weight
        first = np.zeros((width, EMBEDDING_DIMENSION), np.float32)
    else:
        base = np.zeros((len(mean), EMBEDDING_DIMENSION), np.float32)
        noise = rng.normal(0, 0.002, (width, EMBEDDING_DIMENSION))
        first = (np.eye(width, EMBEDDING_DIMENSION) + noise).astype(np.float32)
    z_all = ((views.pooled - mean) @ white).astype(np.float32)
    y_all = ((views.pooled - mean) @ base).astype(np.float32)
    scale = np.float32(np.sqrt((y_all**2).mean()) or 1.0)
    fixed = np.eye(EMBEDDING_DIMENSION, dtype=np.float32)
    wanted = y_all / np.maximum(np.linalg.norm(y_all, axis=1, keepdims=True), 1e-6)
    adam = Adam(first)
    began = time.process_time()
    for step in range(1, steps + 1):
        rows = pairs(views, BATCH, rng)
        kept = rng.random((len(rows), width), np.float32) >= DROPOUT
        z = z_all[rows] * kept / np.float32(1 - DROPOUT)
        features = np.concatenate([z, y_all[rows] / scale], axis=1)
        whole = np.concatenate([adam.matrix, fixed])
        gradient, loss = loss_gradient(features, whole, views.photo[rows], TEMPERATURE, KOLEO)
        if keep_space and start == "head":
            gradient = gradient + np.float32(keep_space) * towards(features, whole, wanted[rows])
        rate = RATE[start] * min(step / 50, 0.5 * (1 + float(np.cos(np.pi * step / steps))))
        adam.update(gradient[:width], rate)
        if say and (step % 100 == 0 or step == steps):
            sys.stderr.write(f"step {step:5d}  loss {loss:.3f}  {time.process_time() - began:4.0f} s\n")
    return EmbeddingHead(mean=mean, weight=(base / scale + white @ adam.matrix).astype(np.float32))


def split(views: Views, held_out: bool) -> Views:
    """The three photos of ten that figures are told on, or the others."""
    chosen = (views.photo % 10 < 3) == held_out
    return Views(views.pooled[chosen], views.photo[chosen], views.instance[chosen])


def write_model(path: Path, head: EmbeddingHead) -> None:
    """The whole model, backbone and head, as ONNX."""
    state = read_state_dict(read_weights(fetch(WEIGHTS, default_cache() / "packages")))
    path.write_bytes(build_model(state, head).SerializeToString(deterministic=True))


def main() -> int:
    """The command; the last line on standard output is JSON."""
    parser = argparse.ArgumentParser(prog="python -m examples.train_image_embedding.train", description=__doc__)
    parser.add_argument("--samples", type=Path, default=Path("out/train/samples"), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/train/model"), help="gets head.npz and model.onnx")
    parser.add_argument("--start", choices=sorted(RATE), default="head")
    parser.add_argument("--keep-space", type=float, default=30.0, help="weight of staying near (%(default)s)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args()
    try:
        samples, views = read_samples(options.samples)
        chosen: dict[str, Any] = {
            "steps": options.steps,
            "seed": options.seed,
            "start": options.start,
            "keep_space": options.keep_space,
        }
        held = split(views, held_out=True)
        figures = {"shipped": retrieval(load_head(), held)}
        judged = train(split(views, held_out=False), **chosen, say=False)
        figures["held_out"] = retrieval(judged, held)
        head = train(views, **chosen)
        options.out.mkdir(parents=True, exist_ok=True)
        save_head(options.out / "head.npz", head)
        write_model(options.out / "model.onnx", load_head(options.out / "head.npz"))
    except SosieError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    told = {"photos": len(samples.photos), "views": samples.views, **chosen, **figures}
    told["sha256"] = hashlib.sha256((options.out / "head.npz").read_bytes()).hexdigest()
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
