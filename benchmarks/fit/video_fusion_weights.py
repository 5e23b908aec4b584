"""Fit what joins alignment and local features of videos.

    python -m benchmarks.fit.video_fusion_weights --samples SAMPLES.msgpack ... [--sets FOLDER ... --cache DIR]

SAMPLES come from `benchmarks.fit.video_weights --samples`; each FOLDER is a benchmark set, a world of its own, with the
real static cameras that drawn footage lacks: none that anything is judged on. Every query meets the references that
recall would bring: in the whole index, in a small one, and in the whole one as a clip of two seconds, with a key frame
or two. Weights but `SIGNED` are bounded below by zero: a better match never scores less.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.bench_sets import load
from benchmarks.bench_sets import rows as read_rows
from benchmarks.fit.image_head import micro_ap
from benchmarks.fit.video_weights import Sample, evidence
from materials.records import Feature
from vector_index.ranking.video import VideoAlignment, clip_of, rivals
from vector_index.ranking.video_alignment import NOTHING
from vector_index.ranking.video_fusion import FUSED, FUSION_FILE, FusionWeights, fused_columns
from vector_index.ranking.video_score import load_weights, probability

SIGNED = ("nothing", "static")
WORLDS = ((1.0, False), (0.3, False), (1.0, True))
"""Shares of the references that are in the index, and whether queries are clips."""
RANKED = 8
"""Candidates that recall brings."""


CLIP_SECONDS = 2.2
FRAMES, KEY_FRAMES = "video-embedding@1", "video-local@1"


class Rows(msgspec.Struct, frozen=True):
    """`columns`: float64 [n, 7]; `same`: bool [n]; `source`: of the query, [n]; `copies`: queries with a source."""

    columns: NDArray[np.float64]
    same: NDArray[np.bool_]
    source: NDArray[np.int64]
    copies: int


def from_set(folder: Path, cache: Path) -> list[Sample]:
    """A benchmark set's videos; clips of one file are of one source.

    Raises:
        ValueError: the folder has no videos.
    """
    given = load(folder, "video", cache)
    if given is None:
        raise ValueError(f"{folder} has no videos")
    origins = {row["ref_id"]: row["origin"] for row in read_rows(folder / "video" / "ref_origins.jsonl")}
    clips: dict[str, int] = {}
    sources: dict[str, int] = {}
    made = []
    for one, query in [(one, False) for one in given.references] + [(one, True) for one in given.queries]:
        origin = origins.get(one.content, one.content)
        clip = clips.setdefault(origin, len(clips))
        source = sources.setdefault(origin.partition("#")[0], len(sources))
        made.append(Sample(clip, source, query, one.features))
    return made


def shortened(sample: Sample, rng: np.random.Generator) -> Sample:
    """`CLIP_SECONDS` of it."""
    frames, points = sample.features[FRAMES].array(), sample.features[KEY_FRAMES].array()
    stamps = np.ascontiguousarray(points[:, :4]).view("<u4").ravel() / 1000
    start = rng.uniform(0.0, max(0.0, float(frames[:, 0].max(initial=0.0)) - CLIP_SECONDS))
    end = start + CLIP_SECONDS
    kept = {
        FRAMES: Feature.of("timed-vectors", frames[(frames[:, 0] >= start) & (frames[:, 0] < end)]),
        KEY_FRAMES: Feature.of("timed-keypoints", points[(stamps >= start) & (stamps < end)]),
    }
    return msgspec.structs.replace(sample, features=kept)


def rows(samples: list[Sample], held: float, short: bool, rng: np.random.Generator) -> Rows:
    """Compare every query with the best references, of which a share `held` is in the index; `short`: a clip of it."""
    weights = load_weights()
    ranker = VideoAlignment(weights, FusionWeights(FUSED, (0.0,) * len(FUSED), 0.0, {}))
    references = [sample for sample in samples if not sample.query and rng.random() < held]
    x, y, source, copies = [], [], [], 0
    for query in (shortened(sample, rng) if short else sample for sample in samples if sample.query):
        clip = clip_of(query.features)
        if clip is None:
            continue
        there = [reference for reference in references if reference.source != query.other]
        candidates = [evidence(reference) for reference in there]
        copies += any(reference.clip == query.clip for reference in there)
        measured = ranker.measure(clip, candidates)
        scores = {n: probability(weights, row) for n, (found, row) in measured.items() if found is not NOTHING}
        best = sorted(scores, key=lambda n: -measured[n][0].best_similarity)[:RANKED]
        found = ranker.local(evidence(query), candidates, {n: scores[n] for n in best})
        rival = rivals(found, candidates)
        for number, local in found.items():
            x.append(fused_columns(scores[number], measured[number][0].motion, local, rival[number]))
            y.append(there[number].clip == query.clip)
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
    parser.add_argument("--sets", type=Path, nargs="*", default=[])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sosie-bench-features")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=FUSION_FILE)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    groups = [[one for path in options.samples for one in msgspec.msgpack.decode(path.read_bytes(), type=list[Sample])]]
    groups += [from_set(folder.resolve(), options.cache) for folder in options.sets]
    rng = np.random.default_rng(options.seed)
    worlds = [rows(samples, held, short, rng) for samples in groups for held, short in WORLDS]
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
