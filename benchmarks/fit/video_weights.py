"""Fit the video ranker's weights: `python -m benchmarks.fit.video_weights --photos DIR --cache DIR`.

References are clips of the footage; queries are attacked copies of a part of them, and attacked copies of clips that no
reference shows, among them other moments of a reference's own source. All pairs, in small and
large indexes, train one logistic regression.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.fit.image_head import micro_ap, read_photos
from benchmarks.fit.video_attacks import Encoding, attack, encode
from benchmarks.fit.video_features import Embedder
from benchmarks.fit.video_footage import ANIMATIONS, Footage, animations, camera_move, halves, static_camera
from materials.records import Features
from model_plugins.recipes.index_file import fetch
from vector_index.ranking.protocol import Evidence
from vector_index.ranking.video import VideoAlignment, clip_of, features_of
from vector_index.ranking.video_alignment import Alignment
from vector_index.ranking.video_score import FEATURES, SIGNED, WEIGHTS_FILE, VideoWeights


class Sample(msgspec.Struct):
    """A clip's features. `clip`: the number of the clip that it shows, of source `source`; `query`: attacked or not.

    `other`: the source of the footage that it may show beside, -1 for none: with clips of that source it forms no pair,
    neither of same nor of different content.
    """

    clip: int
    source: int
    query: bool
    features: Features
    other: int = -1


def footage(photos: Path, cache: Path, seed: int) -> list[Footage]:
    """Everything there is, unsplit."""
    rng, pictures = np.random.default_rng(seed), read_photos(photos)
    found = list(animations(fetch(ANIMATIONS, cache)))
    for number in rng.permutation(len(pictures))[:75]:
        if number % 3:
            found.append(camera_move(f"move-{number}", pictures[number], rng))
        else:
            found.append(static_camera(f"static-{number}", pictures[number], pictures, rng))
    return found


def make_samples(photos: Path, cache: Path, seed: int, per_clip: int, share: tuple[int, int]) -> list[Sample]:
    """References (plain) and queries (attacked). A third of the clips is shown by queries only.

    Args:
        share: (first, step): of the sources only every `step`-th from `first` on, so that several processes share them.
    """
    rng, embedder = np.random.default_rng([seed, *share]), Embedder()
    sources = footage(photos, cache, seed)
    clips = [(number, clip) for number, source in enumerate(sources) for clip in halves(source)]
    clips = [(number, clip) for number, clip in clips if number % share[1] == share[0]]
    samples = []
    for position, (number, clip) in enumerate(clips):
        index = position * share[1] + share[0]
        absent = rng.random() < 0.35
        if not absent:
            samples.append(Sample(index, number, False, embedder.data(encode(clip, Encoding()), f"{index}")))
        for _ in range(per_clip if rng.random() < 0.75 or absent else 0):
            other = (number + 1 + int(rng.integers(len(sources) - 1))) % len(sources)
            copy, encoding = attack(clip, rng, sources[other])
            if min(copy.at(0.0).shape[:2]) < 32:
                continue
            samples.append(Sample(index, number, True, embedder.data(encode(copy, encoding), f"{index}"), other))
    return samples


def evidence(sample: Sample) -> Evidence:
    return Evidence(material_id=str(sample.clip), kind="video", features=sample.features)


def assumed_background(references: list[Sample], queries: list[Sample]) -> float:
    """The cosine that a query frame's best frame of unrelated material has at rank 2 to 8 of them, on average."""
    found = []
    for query in queries[::4]:
        clip = clip_of(query.features)
        others = [clip_of(r.features) for r in references if r.source != query.source]
        if clip is not None:
            peaks = np.array([(clip.vectors @ other.vectors.T).max(1) for other in others if other is not None])
            found.append((-np.sort(-peaks, axis=0))[1:8].mean())
    return round(float(np.mean(found)), 4)


class Compared(msgspec.Struct):
    """A query against every reference that it aligns with at all; `truth` and the query's source beside."""

    aligned: list[Alignment]
    truth: list[bool]
    source: int


def compare(references: list[Sample], queries: list[Sample], background: float) -> list[Compared]:
    """The dear part, once."""
    zeros = (0.0,) * len(FEATURES)
    ranker = VideoAlignment(VideoWeights(FEATURES, zeros, zeros, zeros, 0.0, background, {}))
    found = []
    for query in queries:
        clip = clip_of(query.features)
        if clip is not None:
            there = [sample for sample in references if sample.source != query.other]
            measured = ranker.measure(clip, [evidence(sample) for sample in there])
            truth = [there[n].clip == query.clip for n in measured]
            found.append(Compared([alignment for alignment, _ in measured.values()], truth, query.source))
    return found


Choice = Callable[[Compared], list[int]]
"""A query's comparisons -> the numbers of those that recall brings."""


def rows(compared: list[Compared], choose: Choice) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Features [n, k], truth [n] and the query's source [n], when `choose` says which candidates recall brings."""
    x: list[NDArray[np.float64]] = []
    y: list[bool] = []
    source: list[int] = []
    for one in compared:
        chosen = choose(one)
        x += features_of([one.aligned[n] for n in chosen], [str(n) for n in chosen])
        y += [one.truth[n] for n in chosen]
        source += [one.source] * len(chosen)
    return np.array(x), np.array(y), np.array(source)


def everything(one: Compared) -> list[int]:
    """All references."""
    return list(range(len(one.aligned)))


def worlds(rng: np.random.Generator) -> list[Choice]:
    """What an index of any size would bring: the twenty nearest of all, and the nearest few where it holds few clips.
    Fitted on full lists alone, the weights would take the absence of a better rival for proof."""

    def nearest(limit: int, held: int) -> Choice:
        def choose(one: Compared) -> list[int]:
            there = rng.permutation(len(one.aligned))[:held].tolist()
            copies = [n for n, same in enumerate(one.truth) if same and n not in there]
            there += copies if rng.random() < 0.5 else []
            return sorted(there, key=lambda n: -one.aligned[n].best_similarity)[:limit]

        return choose

    return [everything, nearest(20, 1000), nearest(10, 10), nearest(4, 4), nearest(1, 1)]


def fit(x: NDArray[np.float64], y: NDArray[np.bool_], background: float) -> VideoWeights:
    """Standardise, then a weakly regularised logistic regression without class weights, so that it gives probabilities;
    weights are bounded below by zero but for `SIGNED`."""
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    z, sign = (x - mean) / scale, np.where(y, 1.0, -1.0)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (z @ w[:-1] + w[-1])
        slope = -sign / (1 + np.exp(np.clip(margin, -60, 60)))
        value = np.logaddexp(0, -margin).sum() + 0.5 * (w[:-1] ** 2).sum()
        return float(value), np.r_[z.T @ slope + w[:-1], slope.sum()]

    bounds = [(None if name in SIGNED else 0.0, None) for name in FEATURES] + [(None, None)]
    start = np.zeros(len(FEATURES) + 1)
    w = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 3000}).x
    return VideoWeights(
        features=FEATURES,
        mean=tuple(round(float(v), 6) for v in mean),
        scale=tuple(round(float(v), 6) for v in scale),
        coefficients=tuple(round(float(v), 6) for v in w[:-1]),
        intercept=round(float(w[-1]), 6),
        background=background,
        training={},
    )


def logits(weights: VideoWeights, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights.intercept + (x - np.array(weights.mean)) / np.array(weights.scale) @ np.array(weights.coefficients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="where the package of animations lies or goes")
    parser.add_argument("--samples", type=Path, help="cache of the features (msgpack)")
    parser.add_argument("--per-clip", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20260702)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.samples and options.samples.is_file():
        samples = msgspec.msgpack.decode(options.samples.read_bytes(), type=list[Sample])
    else:
        samples = make_samples(options.photos, options.cache, options.seed, options.per_clip)
        if options.samples:
            options.samples.write_bytes(msgspec.msgpack.encode(samples))
    references, queries = [s for s in samples if not s.query], [s for s in samples if s.query]
    background = assumed_background(references, queries)
    compared, rng = compare(references, queries, background), np.random.default_rng(options.seed)
    x, y, source = rows(compared, everything)
    parts = [rows(compared, choose) for choose in worlds(rng)]
    fit_x, fit_y, fit_source = (np.concatenate(column) for column in zip(*parts, strict=True))
    held = np.zeros(len(y))
    for fold in range(4):  # by source, so that no clip is judged by weights that saw its place
        others = fit_source % 4 != fold
        held[source % 4 == fold] = logits(fit(fit_x[others], fit_y[others], background), x[source % 4 == fold])
    weights = fit(fit_x, fit_y, background)
    chance = 1 / (1 + np.exp(-held))
    known = {s.clip for s in references}
    positives = sum(q.clip in known for q in queries)
    bins = np.digitize(chance, [0.1, 0.3, 0.5, 0.7, 0.9])
    training: dict[str, float | int | str | dict[str, float]] = {
        "references": len(references),
        "queries": len(queries),
        "copies": positives,
        "pairs": len(y),
        "cross_validated_map": round(micro_ap(held, y) * float(y.sum()) / positives, 4),
        "precision_at_half": round(float(y[chance >= 0.5].mean()), 4),
        "recall_at_half": round(float(y[chance >= 0.5].sum()) / positives, 4),
        "share_of_copies_by_predicted": {
            str(low): round(float(y[bins == n].mean()), 3)
            for n, low in enumerate((0.0, 0.1, 0.3, 0.5, 0.7, 0.9))
            if (bins == n).any()
        },
        "seed": options.seed,
    }
    options.out.write_bytes(
        msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(weights, training=training)))
    )
    print(json.dumps(training), dict(zip(FEATURES, weights.coefficients, strict=True)))


if __name__ == "__main__":
    main()
