"""Fit the image ranker's weights on a stream of posted pictures.

    python -m benchmarks.fit.image_fusion --world WORLD.msgpack ... [--out WEIGHTS.json]

Worlds are made once by `benchmarks.fit.image_world`. Each picture is compared with what recall finds among those
posted before it, originals and copies alike, as the index does it. Pictures of photos that the embedding was fitted on
are stored and never ask. A photo and its quadrants share content, so a picture meets none of its family but its own.

Writes `vector_index/ranking/data/image_fusion.json`, or `--out`: weights for another version of the embedding.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from benchmarks.fit.boosting import fit_trees
from benchmarks.fit.image_gallery import Gallery
from benchmarks.fit.image_world import HELD_OUT, Posted
from vector_index.ranking import image_evidence as measure
from vector_index.ranking.boosted_trees import BoostedTrees
from vector_index.ranking.image import Fitted, ImageFusion, Weights
from vector_index.ranking.image_evidence import EMBEDDING, FEATURES, GEOMETRY, LOCAL, NEEDS, PDQ, Pair
from vector_index.ranking.protocol import Evidence, Recall

TARGET = Path(__file__).resolve().parents[2] / "vector_index" / "ranking" / "data" / "image_fusion.json"
WARM = 200
"""Pictures that are stored before the first one asks: an empty index teaches little."""


class Row(NamedTuple):
    """A compared pair with its truth."""

    pair: Pair
    same: bool
    family: int
    query: int


STRAYS, STRAY_SEED = 0.15, 1
"""Of the stored pictures, those that have a content ID apart from their copies: no index groups without a fault."""


def all_geometry(quiet: tuple[float, float]) -> ImageFusion:
    """A ranker that verifies every candidate; its scores mean nothing."""
    names = ["+".join(sorted(part)) for size in (1, 2, 3) for part in combinations(set(NEEDS.values()), size)]
    flat = {name: Weights(0.0, {}) for name in names}
    return ImageFusion(Fitted(quiet[0], quiet[1], flat, flat, {}), verified=1000)


class Asked(NamedTuple):
    """A picture of the stream, and what recall found for it among the earlier ones."""

    posted: Posted
    stored_before: bool
    candidates: list[Evidence]
    recall: Recall


def ask(posted: Sequence[Posted]) -> list[Asked]:
    """Every picture of a held-out family after the first `WARM`."""
    gallery, earlier, asked = Gallery(), dict[int, list[Posted]](), list[Asked]()
    random = np.random.default_rng(STRAY_SEED)
    contents = set[str]()
    for number, one in enumerate(posted):
        if number >= WARM and one.family % 10 in HELD_OUT:
            hidden = {other.name for other in earlier.get(one.family, []) if other.content != one.content}
            asked.append(Asked(one, one.content in contents, *gallery.recall(one.features, hidden)))
        stray = f"~{one.name}" if random.random() < STRAYS else ""
        gallery.add(one.name, one.features, f"{one.content}{stray}")
        earlier.setdefault(one.family, []).append(one)
        contents.add(one.content)
    return asked


def backgrounds(asked: Sequence[Asked]) -> tuple[float, float]:
    """The mean of ranks 2 to 6 of each recall path: what a full index takes for noise."""
    sums: dict[str, list[float]] = {}
    for one in asked:
        for key, hits in one.recall.hits.items():
            if len({hit.content_id for hit in hits}) >= 6:
                sums.setdefault(key, []).append(measure.background(hits, 0.0))
    return float(np.mean(sums["image-embedding@1"])), float(np.mean(sums["image-local@1"]))


Table = tuple[list[Row], tuple[float, float], int]
"""Compared pairs, usual backgrounds, and how many pictures had one of their content before them."""


def table(posted: Sequence[Posted]) -> Table:
    """Ask for every picture of a world."""
    asked = ask(posted)
    quiet = backgrounds(asked)
    ranker, rows = all_geometry(quiet), []
    for number, one in enumerate(asked):
        query = Evidence(material_id="query", kind="image", features=one.posted.features)
        ours = measure.picture(query.features)
        theirs = [measure.picture(candidate.features) for candidate in one.candidates]
        pairs = ranker.measured(query, ours, one.candidates, theirs, one.recall)
        for candidate, pair in zip(one.candidates, pairs, strict=True):
            same = candidate.content_id.partition("~")[0] == one.posted.content
            rows.append(Row(pair, same, one.posted.family, number))
    return rows, quiet, sum(one.stored_before for one in asked)


def fit(columns: NDArray[np.float64], names: list[str], same: NDArray[np.bool_]) -> Weights:
    """A logistic regression with its scaling multiplied out."""
    chosen = [FEATURES.index(name) for name in names]
    scaler = StandardScaler().fit(columns[:, chosen])
    model = LogisticRegression(C=0.5, max_iter=5000).fit(scaler.transform(columns[:, chosen]), same)
    raw = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (raw * scaler.mean_).sum())
    return Weights(round(bias, 5), {name: round(float(value), 5) for name, value in zip(names, raw, strict=True)})


def joined(tables: Sequence[Table]) -> Table:
    """The tables of several worlds as one; families stay, since all worlds post the same photos."""
    rows, asked = list[Row](), 0
    for table_rows, _, _ in tables:
        rows += [row._replace(query=row.query + asked) for row in table_rows]
        asked = rows[-1].query + 1
    quiet = np.mean([quiet for _, quiet, _ in tables], axis=0)
    return rows, (float(quiet[0]), float(quiet[1])), sum(positives for _, _, positives in tables)


RISING = {
    *("cosine", "cosine_own_rank", "votes_own_rank", "pdq", "pdq_turned", "inliers", "inlier_surplus", "inlier_share"),
    *("explained", "explained_both", "inlier_gap"),
}
FALLING = {"rivals"}
"""Of the measurements: more of them never makes a copy less likely, or never more."""
WITH_TREES = (f"{LOCAL}+{EMBEDDING}", f"{LOCAL}+{PDQ}+{EMBEDDING}")
"""Sets in which measurements depend on each other: many inliers are proof, but not inside a frame that many share."""


def trees_of(columns: NDArray[np.float64], same: NDArray[np.bool_], part: Sequence[str]) -> BoostedTrees:
    """Boosted trees that see what rests on the given schemas; the other columns are there, and never asked for."""
    known = np.array([NEEDS[name] in part for name in FEATURES])
    return fit_trees(np.where(known, columns, 0.0), same, FEATURES, RISING, FALLING)


def found_and_false(rows: Sequence[Row], scores: NDArray[np.float64], threshold: float) -> tuple[int, int]:
    """Queries that a copy reaches the threshold for, and queries that anything else does."""
    found = {row.query for row, score in zip(rows, scores, strict=True) if row.same and score >= threshold}
    false = {row.query for row, score in zip(rows, scores, strict=True) if not row.same and score >= threshold}
    return len(found), len(false)


def fitted(rows: Sequence[Row], quiet: tuple[float, float], positives: int) -> Fitted:
    """Everything that ships, with figures cross-validated by photo."""
    columns = np.stack([measure.vector(row.pair) for row in rows])
    same, family = np.array([row.same for row in rows]), np.array([row.family for row in rows])
    held = np.zeros(len(rows))
    for train, rest in GroupKFold(3).split(columns, same, family):
        held[rest] = trees_of(columns[train], same[train], (EMBEDDING, LOCAL, PDQ)).probabilities(columns[rest])
    training = {
        "pairs": float(len(rows)),
        "queries": float(rows[-1].query + 1),
        "queries_with_copy": float(positives),
        "ap_cross_validated": round(float(average_precision_score(same, held)), 4),
        "brier_cross_validated": round(float(np.mean((held - same) ** 2)), 5),
    }
    for threshold in (0.5, 0.8, 0.9):
        found, false = found_and_false(rows, held, threshold)
        training[f"found_at_{threshold}"] = round(found / positives, 4)
        training[f"false_at_{threshold}"] = round(false / (rows[-1].query + 1), 4)
    sets, before, trees = {}, {}, {}
    for size in (1, 2, 3):
        for part in combinations(sorted(set(NEEDS.values())), size):
            names = [name for name in FEATURES if NEEDS[name] in part]
            sets["+".join(part)] = fit(columns, names, same)
            before["+".join(part)] = fit(columns, [name for name in names if name not in GEOMETRY], same)
            if "+".join(part) in WITH_TREES:
                trees["+".join(part)] = trees_of(columns, same, part)
    return Fitted(round(quiet[0], 4), round(quiet[1], 4), sets, before, training, trees)


def main() -> None:
    """Compare, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--world", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    tables = [table(msgspec.msgpack.decode(path.read_bytes(), type=list[Posted])) for path in options.world]
    weights = fitted(*joined(tables))
    options.out.write_bytes(msgspec.json.encode(weights) + b"\n")
    print(json.dumps(weights.training))


if __name__ == "__main__":
    main()
