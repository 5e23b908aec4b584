"""Fit what joins alignment and local features of videos.

    python -m benchmarks.fit.video_fusion_weights --samples SAMPLES.msgpack ...

SAMPLES come from `benchmarks.fit.video_weights --samples`. Every query meets the references that recall would bring: in
a small index and in the whole one. Weights but `SIGNED` are bounded below by zero: a better match never scores less.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.fit.image_head import micro_ap
from benchmarks.fit.video_weights import Sample, evidence
from vector_index.ranking.video import VideoAlignment, clip_of, rivals
from vector_index.ranking.video_alignment import NOTHING
from vector_index.ranking.video_fusion import FUSED, FUSION_FILE, FusionWeights, fused_columns
from vector_index.ranking.video_score import load_weights, probability

SIGNED = ("nothing", "static")
RANKED = 8
"""Candidates that recall brings."""


class Rows(msgspec.Struct, frozen=True):
    """`columns`: float64 [n, 6]; `same`: bool [n]; `source`: of the query, [n]; `copies`: queries with a source."""

    columns: NDArray[np.float64]
    same: NDArray[np.bool_]
    source: NDArray[np.int64]
    copies: int


def rows(samples: list[Sample], held: float, rng: np.random.Generator) -> Rows:
    """Compare every query with the best references, of which a share `held` is in the index."""
    weights = load_weights()
    ranker = VideoAlignment(weights, FusionWeights(FUSED, (0.0,) * len(FUSED), 0.0, {}))
    references = [sample for sample in samples if not sample.query and rng.random() < held]
    candidates = [evidence(sample) for sample in references]
    x, y, source, copies = [], [], [], 0
    for query in (sample for sample in samples if sample.query):
        clip = clip_of(query.features)
        if clip is None:
            continue
        copies += any(reference.clip == query.clip for reference in references)
        measured = ranker.measure(clip, candidates)
        scores = {n: probability(weights, row) for n, (found, row) in measured.items() if found is not NOTHING}
        best = sorted(scores, key=lambda n: -measured[n][0].best_similarity)[:RANKED]
        found = ranker.local(evidence(query), candidates, {n: scores[n] for n in best})
        rival = rivals(found, candidates)
        for number, local in found.items():
            x.append(fused_columns(scores[number], measured[number][0].motion, local, rival[number]))
            y.append(references[number].clip == query.clip)
            source.append(query.source)
    return Rows(np.array(x), np.array(y), np.array(source), copies)


def fit(columns: NDArray[np.float64], same: NDArray[np.bool_]) -> FusionWeights:
    """A weakly regularised logistic regression without class weights."""
    scale, sign = np.maximum(columns.std(0), 1e-6), np.where(same, 1.0, -1.0)
    z = columns / scale

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (z @ w[:-1] + w[-1])
        slope = -sign / (1 + np.exp(np.clip(margin, -60, 60)))
        value = np.logaddexp(0, -margin).sum() + 0.5 * (w[:-1] ** 2).sum()
        return float(value), np.r_[z.T @ slope + w[:-1], slope.sum()]

    bounds = [(None if name in SIGNED else 0.0, None) for name in FUSED] + [(None, None)]
    w = minimize(loss, np.zeros(len(FUSED) + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    raw = tuple(round(float(v), 5) for v in w[:-1] / scale)
    return FusionWeights(columns=FUSED, weights=raw, intercept=round(float(w[-1]), 5), training={})


def odds(weights: FusionWeights, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of rows."""
    return weights.intercept + columns @ np.array(weights.weights)


def main() -> None:
    """Fit, cross-validate by source, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=Path, nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=FUSION_FILE)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    samples = [one for path in options.samples for one in msgspec.msgpack.decode(path.read_bytes(), type=list[Sample])]
    rng = np.random.default_rng(options.seed)
    worlds = [rows(samples, held, rng) for held in (1.0, 0.3)]
    x, same, source = (
        np.concatenate([getattr(world, name) for world in worlds]) for name in ("columns", "same", "source")
    )
    held = np.zeros(len(same))
    for fold in range(4):
        held[source % 4 == fold] = odds(fit(x[source % 4 != fold], same[source % 4 != fold]), x[source % 4 == fold])
    copies, whole = sum(world.copies for world in worlds), len(worlds[0].same)
    first = worlds[0]
    recalled = float(first.same.sum()) / first.copies
    training = {
        "pairs": float(len(same)),
        "copies": float(copies),
        "map_of_alignment": round(float(micro_ap(first.columns[:, 0], first.same)) * recalled, 4),
        "map_cross_validated": round(float(micro_ap(held[:whole], first.same)) * recalled, 4),
        "seed": float(options.seed),
    }
    weights = msgspec.structs.replace(fit(x, same), training=training)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(weights)) + b"\n")
    print(json.dumps(training), dict(zip(FUSED, weights.weights, strict=True)), weights.intercept)


if __name__ == "__main__":
    main()
