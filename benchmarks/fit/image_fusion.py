"""Fit the image ranker's weights on attacked copies of package photos.

    python -m benchmarks.fit.image_fusion --head-held-out HEAD.npz [--cache DIR]

The embedding's own head is fitted on these photos, and on them its cosines are better than on a stranger's. So the
weights are fitted with *another* head, made by `python -m benchmarks.fit.image_head --held-out --out HEAD.npz`, and the
queries come only from the photos that it never saw (numbers that end in 0, 1 or 2).

Stored: photos and their quadrants, as separate pictures. Queries: attacked copies of some held-out pictures, and of
others of which nothing is stored, on whose ground copies are pasted as well. A photo and its quadrants share content,
so a query meets none of its own family but its source.

Writes `vector_index/ranking/data/image_fusion.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from benchmarks.fit.attacks import Picture, attack
from benchmarks.fit.image_gallery import Extractor, Gallery, read_rgb
from benchmarks.fit.photos import default_cache, photos
from model_plugins.recipes.build import build_image_embedding
from vector_index.ranking import image_evidence as measure
from vector_index.ranking.image import Fitted, ImageFusion, Weights
from vector_index.ranking.image_evidence import FEATURES, GEOMETRY, NEEDS, Pair
from vector_index.ranking.protocol import Evidence

HELD_OUT = (0, 1, 2)
ABSENT_EVERY = 3
"""Of the held-out photos one in three is not stored."""
COPIES, COPIES_OF_QUADRANT = 10, 4
TARGET = Path(__file__).resolve().parents[2] / "vector_index" / "ranking" / "data" / "image_fusion.json"


class Source(NamedTuple):
    """A photo or a quadrant of one: `family` is the photo's number."""

    name: str
    family: int
    rgb: Picture


class Row(NamedTuple):
    """A compared pair with its truth."""

    pair: Pair
    same: bool
    family: int
    query: int


def sources(paths: list[Path]) -> Iterator[Source]:
    """Each photo, then its quadrants; flat ones are left out."""
    for number, path in enumerate(paths):
        rgb = read_rgb(path)
        yield Source(f"{number}", number, rgb)
        tall, wide = rgb.shape[0] // 2, rgb.shape[1] // 2
        for place, (top, left) in enumerate(((0, 0), (0, wide), (tall, 0), (tall, wide))):
            part = np.ascontiguousarray(rgb[top : top + tall, left : left + wide])
            if part.std() >= 12:
                yield Source(f"{number}.{place}", number, part)


def absent(family: int) -> bool:
    """Held out, and not stored either."""
    return family % 10 in HELD_OUT and (family // 10 * len(HELD_OUT) + family % 10) % ABSENT_EVERY == 0


def all_geometry(quiet: tuple[float, float]) -> ImageFusion:
    """A ranker that verifies every candidate; its scores mean nothing."""
    names = ["+".join(sorted(part)) for size in (1, 2, 3) for part in combinations(set(NEEDS.values()), size)]
    flat = {name: Weights(0.0, {}) for name in names}
    return ImageFusion(Fitted(quiet[0], quiet[1], flat, flat, {}), verified=1000)


def backgrounds(gallery: Gallery, queries: list[Any], hidden: list[set[str]]) -> tuple[float, float]:
    """The mean of ranks 2 to 6 of each recall path: what a full index takes for noise."""
    sums: dict[str, list[float]] = {}
    for features, out in zip(queries, hidden, strict=True):
        for key, hits in gallery.recall(features, out)[1].hits.items():
            if len(hits) >= 6:
                sums.setdefault(key, []).append(measure.background(hits, 0.0))
    return float(np.mean(sums["image-embedding@1"])), float(np.mean(sums["image-local@1"]))


def table(paths: list[Path], extractor: Extractor, seed: int) -> tuple[list[Row], tuple[float, float], int]:
    """Compared pairs, usual backgrounds, and how many queries had their source stored."""
    random = np.random.default_rng(seed)
    everything = list(sources(paths))
    grounds = [source.rgb for source in everything if absent(source.family) and "." not in source.name]
    gallery, families = Gallery(), {source.name: source.family for source in everything}
    for source in everything:
        if not absent(source.family):
            gallery.add(source.name, extractor.features(source.rgb))
    queries, hidden, asked = [], [], []
    for source in everything:
        if source.family % 10 not in HELD_OUT:
            continue
        others = [ground for ground in grounds if ground is not source.rgb]
        for _ in range(COPIES_OF_QUADRANT if "." in source.name else COPIES):
            queries.append(extractor.features(attack(source.rgb, random, others)[0]))
            hidden.append({name for name, family in families.items() if family == source.family} - {source.name})
            asked.append(source)
    quiet = backgrounds(gallery, queries, hidden)
    ranker, rows = all_geometry(quiet), []
    for number, (features, out, source) in enumerate(zip(queries, hidden, asked, strict=True)):
        candidates, recall = gallery.recall(features, out)
        query = Evidence(material_id="query", kind="image", features=features)
        ours = measure.picture(features)
        theirs = [measure.picture(candidate.features) for candidate in candidates]
        for candidate, pair in zip(candidates, ranker.measured(query, ours, candidates, theirs, recall), strict=True):
            rows.append(Row(pair, candidate.material_id == source.name, source.family, number))
    return rows, quiet, sum(not absent(source.family) for source in asked)


def fit(columns: NDArray[np.float64], names: list[str], same: NDArray[np.bool_]) -> Weights:
    """A logistic regression with its scaling multiplied out."""
    chosen = [FEATURES.index(name) for name in names]
    scaler = StandardScaler().fit(columns[:, chosen])
    model = LogisticRegression(C=0.5, max_iter=5000).fit(scaler.transform(columns[:, chosen]), same)
    raw = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (raw * scaler.mean_).sum())
    return Weights(round(bias, 5), {name: round(float(value), 5) for name, value in zip(names, raw, strict=True)})


def main() -> None:
    """Fit, cross-validate by photo, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--head-held-out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = build_image_embedding(options.cache / "held-out-model", head=options.head_held_out)
    rows, quiet, positives = table(photos(options.cache), Extractor(model), options.seed)
    columns = np.stack([measure.vector(row.pair) for row in rows])
    same, family = np.array([row.same for row in rows]), np.array([row.family for row in rows])
    held = np.zeros(len(rows))
    whole = list(FEATURES)
    for train, rest in GroupKFold(5).split(columns, same, family):
        weights = fit(columns[train], whole, same[train])
        held[rest] = [weights.probability(rows[i].pair) for i in rest]
    training = {
        "pairs": float(len(rows)),
        "queries": float(rows[-1].query + 1),
        "queries_with_source": float(positives),
        "recalled": round(float(same.sum() / positives), 4),
        "micro_ap_cross_validated": round(float(average_precision_score(same, held) * same.sum() / positives), 4),
        "brier_cross_validated": round(float(np.mean((held - same) ** 2)), 5),
    }
    for precision in (0.9, 0.95, 0.99):
        order = np.argsort(-held)
        reached = np.flatnonzero(np.cumsum(same[order]) / np.arange(1, len(order) + 1) >= precision)
        training[f"score_at_precision_{precision}"] = round(float(held[order[reached[-1]]]), 4)
        training[f"recall_at_precision_{precision}"] = round(float(same[order[: reached[-1] + 1]].sum() / positives), 4)
    sets, before = {}, {}
    for size in (1, 2, 3):
        for part in combinations(sorted(set(NEEDS.values())), size):
            names = [name for name in FEATURES if NEEDS[name] in part]
            sets["+".join(part)] = fit(columns, names, same)
            before["+".join(part)] = fit(columns, [name for name in names if name not in GEOMETRY], same)
    fitted = Fitted(round(quiet[0], 4), round(quiet[1], 4), sets, before, training)
    TARGET.write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n")
    print(json.dumps(training))


if __name__ == "__main__":
    main()
