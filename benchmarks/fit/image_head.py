"""Fit the embedding head: `python -m benchmarks.fit.image_head --photos DIR`.

Loss: InfoNCE over two attacked views of each instance, plus the KoLeo entropy that spreads the embeddings (Sablayrolles
et al., "Spreading vectors for similarity search", ICLR 2019), as in SSCD (Pizzi et al., "A Self-Supervised Descriptor
for Image Copy Detection", CVPR 2022), on the frozen backbone's pooled maps. Plain numpy, seeded, one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.fit.image_attacks import Picture, attack
from model_plugins.recipes.build import WEIGHTS, default_cache, read_weights
from model_plugins.recipes.efficientnet_lite import EMBEDDING_DIMENSION, SIDE, build_model
from model_plugins.recipes.embedding_head import HEAD_FILE, EmbeddingHead, save_head
from model_plugins.recipes.index_file import fetch
from model_plugins.recipes.torch_pickle import read_state_dict

Floats = NDArray[np.float32]


class Views(msgspec.Struct, frozen=True):
    """Pooled maps of attacked views: `pooled` [n, 3344]; the photo and the instance (photo or quadrant) of each row.

    An instance's rows stand together, the untouched one first.
    """

    pooled: Floats
    photo: NDArray[np.int64]
    instance: NDArray[np.int64]


def pooled_session() -> ort.InferenceSession:
    """The backbone without a head, one thread."""
    state = read_state_dict(read_weights(fetch(WEIGHTS, default_cache() / "packages")))
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(build_model(state, None).SerializeToString(), options, ["CPUExecutionProvider"])


def squash(x: Picture) -> Picture:
    """To the model's square, as the plug-in does it."""
    method = cv2.INTER_AREA if max(x.shape[:2]) > SIDE else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(x), (SIDE, SIDE), interpolation=method)


def read_photos(folder: Path) -> list[Picture]:
    """All JPEGs of a folder, by name, RGB."""
    decoded = (cv2.imread(str(path), cv2.IMREAD_COLOR) for path in sorted(folder.glob("*.jpg")))
    return [np.ascontiguousarray(x[..., ::-1]) for x in decoded if x is not None]


def instances(photos: list[Picture], whole: int, quadrant: int) -> Iterator[tuple[int, Picture, int]]:
    """(photo, picture, how many attacked views): every photo and its four quadrants, flat ones left out."""
    for number, x in enumerate(photos):
        h, w = x.shape[0] // 2, x.shape[1] // 2
        yield number, x, whole
        for top, left in ((0, 0), (0, w), (h, 0), (h, w)):
            part = x[top : top + h, left : left + w]
            if part.std() >= 12:
                yield number, part, quadrant


def make_views(photos: list[Picture], whole: int, quadrant: int, seed: int) -> Views:
    """Attack every instance and pool the views."""
    session = pooled_session()

    def pooled(view: Picture) -> Floats:
        features = session.run(None, {"image": squash(view)[None]})[0][0]
        return np.asarray(features.astype(np.float16), np.float32)  # as precise as views are kept

    return described(photos, whole, quadrant, seed, pooled)


def described(
    photos: list[Picture], whole: int, quadrant: int, seed: int, describe: Callable[[Picture], Floats]
) -> Views:
    """Every photo and quadrant as it is and attacked, each view told by `describe`."""
    rng = np.random.default_rng(seed)
    rows: list[Floats] = []
    photo: list[int] = []
    instance: list[int] = []
    for index, (number, x, count) in enumerate(instances(photos, whole, quadrant)):

        def other(generator: np.random.Generator, number: int = number) -> Picture:
            return photos[(number + 1 + int(generator.integers(0, len(photos) - 1))) % len(photos)]

        for view in [x, *(attack(x, rng, other) for _ in range(count))]:
            rows.append(describe(view))
            photo.append(number)
            instance.append(index)
    return Views(np.stack(rows), np.array(photo), np.array(instance))


def whitening(x: Floats, width: int, shrinkage: float) -> tuple[Floats, Floats]:
    """Mean and a [d, width] PCA-whitening whose small eigenvalues are lifted by `shrinkage` of the mean one."""
    mean = x.mean(0)
    values, vectors = np.linalg.eigh((x - mean).T.astype(np.float64) @ (x - mean) / len(x))
    order = np.argsort(-values)[:width]
    matrix = vectors[:, order] / np.sqrt(values[order] + shrinkage * values[order].mean())
    matrix /= np.sqrt((((x - mean) @ matrix) ** 2).mean())
    return mean, matrix.astype(np.float32)


def loss_gradient(
    z: Floats, a: Floats, photo: NDArray[np.int64], temperature: float, koleo: float
) -> tuple[Floats, float]:
    """Gradient in `a` [k, 256] and the loss. Rows i and i + n of `z` [2n, k] are two views of one instance; other views
    of the same *photo* are neither positives nor negatives."""
    count = len(z)
    y = z @ a
    norm = np.linalg.norm(y, axis=1, keepdims=True) + 1e-6
    e = y / norm
    similarity = e @ e.T
    rows = np.arange(count)
    partner = (rows + count // 2) % count
    same = photo[:, None] == photo[None]
    logits = np.where(same, -np.inf, similarity / temperature)
    logits[rows, partner] = similarity[rows, partner] / temperature
    logits -= logits.max(1, keepdims=True)
    chance = np.exp(logits)
    chance /= chance.sum(1, keepdims=True)
    loss = -np.log(chance[rows, partner] + 1e-12).mean()
    chance[rows, partner] -= 1
    d_similarity = chance / (temperature * count)
    nearest = np.where(same, -1.0, similarity)
    closest = nearest.argmax(1)
    gap = np.maximum(2 - 2 * nearest[rows, closest], 1e-2)
    loss -= koleo * 0.5 * np.log(gap).mean()
    d_similarity[rows, closest] += (koleo / (gap * count)).astype(np.float32)
    d_e = (d_similarity + d_similarity.T) @ e
    d_y = (d_e - e * (d_e * e).sum(1, keepdims=True)) / norm
    return (z.T @ d_y).astype(np.float32), float(loss)


def train(views: Views, *, steps: int, seed: int, temperature: float = 0.07, koleo: float = 0.3) -> EmbeddingHead:
    """AdamW with warm-up and cosine decay over batches of 384 instances, dropout 0.2 on the whitened features."""
    mean, white = whitening(views.pooled, 1024, 0.05)
    z_all = ((views.pooled - mean) @ white).astype(np.float32)
    rng = np.random.default_rng(seed)
    starts = np.flatnonzero(np.r_[True, np.diff(views.instance) != 0])
    sizes = np.diff(np.r_[starts, len(views.instance)])
    a = (np.eye(1024, EMBEDDING_DIMENSION) + rng.normal(0, 0.002, (1024, EMBEDDING_DIMENSION))).astype(np.float32)
    first, second = np.zeros_like(a), np.zeros_like(a)
    batch, started = min(384, len(starts)), time.process_time()
    for step in range(1, steps + 1):
        chosen = rng.choice(len(starts), batch, replace=False)
        one = np.where(rng.random(batch) < 0.5, 0, rng.integers(0, sizes[chosen]))
        two = (one + rng.integers(1, sizes[chosen])) % sizes[chosen]
        rows = np.r_[starts[chosen] + one, starts[chosen] + two]
        z = z_all[rows] * (rng.random((2 * batch, 1024), np.float32) < 0.8) / np.float32(0.8)
        gradient, loss = loss_gradient(z, a, views.photo[rows], temperature, koleo)
        rate = 1e-3 * min(step / 50, 0.5 * (1 + np.cos(np.pi * step / steps)))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient * gradient
        update = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        a = (a - rate * (update + 0.02 * a)).astype(np.float32)
        if step % 200 == 0:
            print(f"step {step} loss {loss:.3f} cpu {time.process_time() - started:.0f} s", flush=True)
    return EmbeddingHead(mean=mean, weight=(white @ a).astype(np.float32))


def retrieval(head: EmbeddingHead, views: Views) -> dict[str, float]:
    """Attacked whole photos against the untouched ones: recall at rank 1, and μAP of the cosine as it is and less the
    mean of ranks 2 to 6."""
    y = (views.pooled - head.mean) @ head.weight
    e = y / np.linalg.norm(y, axis=1, keepdims=True)
    first_instance = {int(p): int(views.instance[views.photo == p].min()) for p in np.unique(views.photo)}
    whole = np.array([views.instance[i] == first_instance[int(p)] for i, p in enumerate(views.photo)])
    starts = np.r_[True, np.diff(views.instance) != 0]
    references, queries = whole & starts, whole & ~starts
    similarity = e[queries] @ e[references].T
    truth = views.photo[queries][:, None] == views.photo[references][None]
    ranked = -np.sort(-similarity, axis=1)
    own = similarity - ranked[:, 1:6].mean(1, keepdims=True)
    top1 = truth[np.arange(len(truth)), similarity.argmax(1)].mean()
    return {"recall_at_1": float(top1), "map": micro_ap(similarity, truth), "map_own_rank": micro_ap(own, truth)}


def micro_ap(score: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Average precision of all pairs in one list."""
    hits = truth.ravel()[np.argsort(-score.ravel(), kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, hits.size + 1))[hits].sum() / truth.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--views", type=Path, help="cache of the pooled views (.npz)")
    parser.add_argument("--whole", type=int, default=12, help="attacked views of each photo")
    parser.add_argument("--quadrant", type=int, default=5, help="attacked views of each quadrant")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=20260701)
    parser.add_argument("--held-out", action="store_true", help="leave 3 photos of 10 out and measure on them")
    parser.add_argument("--out", type=Path, default=HEAD_FILE)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.views and options.views.is_file():
        with np.load(options.views) as file:
            views = Views(file["pooled"].astype(np.float32), file["photo"], file["instance"])
    else:
        views = make_views(read_photos(options.photos), options.whole, options.quadrant, options.seed)
        if options.views:
            half = views.pooled.astype(np.float16)
            np.savez(options.views, pooled=half, photo=views.photo, instance=views.instance)
    held = views.photo % 10 < 3
    fit, rest = ~held if options.held_out else np.ones_like(held), held
    head = train(
        Views(views.pooled[fit], views.photo[fit], views.instance[fit]), steps=options.steps, seed=options.seed
    )
    save_head(options.out, head)
    figures: dict[str, object] = {"photos": int(views.photo.max()) + 1, "views": len(views.photo)}
    figures |= retrieval(head, Views(views.pooled[rest], views.photo[rest], views.instance[rest]))
    figures |= {"held_out": options.held_out, "sha256": hashlib.sha256(options.out.read_bytes()).hexdigest()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
