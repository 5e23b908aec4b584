"""Quality against cost: which step of the way of a picture or a video buys how much, on one core.

    .venv/bin/python benchmarks/quality_cost.py FOLDER [--plot FILE.svg] [--queries N]

FOLDER is a copy-detection set as `benchmarks/quality.py` takes it. References are stored and queries asked in this
process: real plug-ins, spaces and rankers, no servers. Each variant leaves steps out; its cost is the CPU time of
everything that it does for a query: decoding, models, recall, fine ranking. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.fit.image_gallery import EMBEDDING, LOCAL, Extractor, Gallery, read_rgb
from benchmarks.fit.video_features import Embedder
from benchmarks.measures import PairScore, Prediction, Truth, score_pairs
from materials.records import Features
from model_plugins.recipes.build import build_image_embedding, default_cache
from pipeline.media.limits import MediaLimits
from pipeline.media.video import decode_video
from vector_index.ranking.image import ImageFusion
from vector_index.ranking.protocol import Evidence, Ranker, Recall, RecallHit
from vector_index.ranking.video import VideoAlignment
from vector_index.spaces.timed import TimedSpace

KEPT = 10
PDQ, FRAMES, KEY_FRAMES = "image-pdq@1", "video-embedding@1", "video-local@1"


class Variant(msgspec.Struct, frozen=True):
    """`keys`: the features that are computed; `ranker`: who judges them."""

    name: str
    keys: tuple[str, ...]
    ranker: Ranker


class Item(msgspec.Struct, frozen=True):
    """A medium with its features; `spent`: CPU seconds by step (`decode` and the feature keys)."""

    name: str
    features: Features
    spent: dict[str, float]
    seconds: float = 1.0


class Point(msgspec.Struct, frozen=True):
    """One variant's figures. `median` and `p95`: CPU milliseconds a picture, or a second of video."""

    name: str
    uap: float
    recall_at_p90: float
    median: float
    p95: float


def rows(path: Path) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def images(folder: Path, part: str, key: str) -> Iterator[Item]:
    """Decoded, embedded, hashed, keypoints taken, each step timed."""
    model = build_image_embedding(default_cache())
    steps = {name: Extractor(model, [name.partition("@")[0]]) for name in (EMBEDDING, PDQ, LOCAL)}
    for row in rows(folder / "image" / f"{part}.jsonl"):
        started = time.process_time()
        rgb = read_rgb(folder / row["path"])
        spent, found = {"decode": time.process_time() - started}, dict[str, Any]()
        for name, extractor in steps.items():
            started = time.process_time()
            found |= extractor.features(rgb)
            spent[name] = time.process_time() - started
        yield Item(row[key], found, spent)


def videos(folder: Path, part: str, key: str) -> Iterator[Item]:
    """The same of videos."""
    embedder = Embedder()
    for row in rows(folder / "video" / f"{part}.jsonl"):
        started = time.process_time()
        media = decode_video((folder / row["path"]).read_bytes(), row["path"], MediaLimits())
        spent = {"decode": time.process_time() - started}
        found: Features = {}
        for name, step in ((FRAMES, embedder.media), (KEY_FRAMES, embedder.local)):
            started = time.process_time()
            found[name] = step(media)
            spent[name] = time.process_time() - started
        yield Item(row[key], found, spent, max(1.0, media.duration))


class VideoGallery:
    """Stored videos and their recall; the counterpart of `Gallery`."""

    def __init__(self) -> None:
        self._items: list[Evidence] = []
        self._space = TimedSpace()

    def add(self, name: str, features: Features) -> None:
        """Store a video, its own content ID."""
        self._space.add([len(self._items)], [features[FRAMES]])
        self._items.append(Evidence(material_id=name, kind="video", features=features, content_id=f"c-{name}"))

    def recall(self, features: Features) -> tuple[list[Evidence], Recall]:
        """Candidates and hits."""
        found = self._space.search([features[FRAMES]], 30)[0]
        hits = tuple(
            RecallHit(self._items[row].material_id, self._items[row].content_id, score) for row, score in found
        )
        return [self._items[row] for row, _ in found[:8]], Recall({FRAMES: hits})


def measure(
    variant: Variant,
    gallery: Gallery | VideoGallery,
    references: Sequence[Item],
    queries: Sequence[Item],
    truths: Sequence[Truth],
) -> Point:
    """Store the references, ask for the queries with what the variant knows of them."""
    for item in references:
        gallery.add(item.name, _known(item, variant))
    predictions, costs = list[Prediction](), list[float]()
    for item in queries:
        features = _known(item, variant)
        started = time.process_time()
        candidates, recall = gallery.recall(features)
        query = Evidence(material_id=item.name, kind=candidates[0].kind if candidates else "image", features=features)
        ranked = sorted(variant.ranker.rank(query, candidates, recall), key=lambda found: -found.score)[:KEPT]
        own = time.process_time() - started
        predictions += [Prediction(item.name, found.material_id, found.score) for found in ranked]
        before = item.spent["decode"] + sum(item.spent[key] for key in variant.keys)
        costs.append((before + own) / item.seconds * 1e3)
    score: PairScore = score_pairs(truths, predictions)
    return Point(
        variant.name,
        round(score.uap, 4),
        round(score.recall_at_p90, 4),
        round(float(np.median(costs)), 1),
        round(float(np.quantile(costs, 0.95)), 1),
    )


def _known(item: Item, variant: Variant) -> Features:
    return {key: feature for key, feature in item.features.items() if key in variant.keys}


IMAGE_VARIANTS = (
    Variant("embedding", (EMBEDDING,), ImageFusion()),
    Variant("+ PDQ", (EMBEDDING, PDQ), ImageFusion()),
    Variant("+ votes of keypoints", (EMBEDDING, PDQ, LOCAL), ImageFusion(verified=0)),
    Variant("+ RANSAC on the best 3", (EMBEDDING, PDQ, LOCAL), ImageFusion(verified=3)),
    Variant("+ RANSAC on the best 12", (EMBEDDING, PDQ, LOCAL), ImageFusion()),
)
VIDEO_VARIANTS = (
    Variant("frames, alignment, motion", (FRAMES,), VideoAlignment()),
    Variant("+ key frames of the best 2", (FRAMES, KEY_FRAMES), VideoAlignment(looked_at=2)),
    Variant("+ key frames of the best 4", (FRAMES, KEY_FRAMES), VideoAlignment()),
)


def curve(
    folder: Path,
    kind: str,
    items: Callable[[Path, str, str], Iterator[Item]],
    variants: Sequence[Variant],
    make: Callable[[], Gallery | VideoGallery],
    most: int,
) -> list[Point]:
    """All variants on one set, whose media are decoded and embedded once."""
    references = list(items(folder, "refs", "ref_id"))
    asked = [item for item, _ in zip(items(folder, "queries", "query_id"), range(most), strict=False)]
    names = {item.name for item in asked}
    truths = [t for t in msgspec.convert(rows(folder / kind / "gt.jsonl"), list[Truth]) if t.query_id in names]
    return [measure(variant, make(), references, asked, truths) for variant in variants]


def plot(points: dict[str, list[Point]], path: Path) -> None:
    """One panel a kind: micro-AP and recall over CPU time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "quality-cost"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(points), figsize=(5.2 * len(points), 4.2), squeeze=False)
    for panel, (kind, line) in zip(panels[0], points.items(), strict=True):
        cost: NDArray[np.float64] = np.array([point.median for point in line])
        panel.plot(cost, [point.uap for point in line], "o-", label="μAP")
        panel.plot(cost, [point.recall_at_p90 for point in line], "s--", label="recall at 90 % precision")
        for point in line:
            panel.annotate(point.name, (point.median, point.uap), rotation=-35, fontsize=7, va="top")
        panel.set_xlabel("CPU ms a picture" if kind == "image" else "CPU ms a second of video")
        panel.set_title(kind)
        panel.set_ylim(0, 1.02)
        panel.set_xlim(0, float(cost.max()) * 1.35)
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", default="image,video")
    parser.add_argument("--queries", type=int, default=1_000_000, help="only the first N queries of a kind")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    points: dict[str, list[Point]] = {}
    if "image" in options.kinds.split(","):
        points["image"] = curve(options.folder, "image", images, IMAGE_VARIANTS, Gallery, options.queries)
    if "video" in options.kinds.split(","):
        points["video"] = curve(options.folder, "video", videos, VIDEO_VARIANTS, VideoGallery, options.queries)
    console = Console()
    for kind, line in points.items():
        table = Table("step", "μAP", "recall@P90", "ms, median", "ms, p95", title=kind, title_justify="left")
        for point in line:
            figures = (f"{point.uap:.3f}", f"{point.recall_at_p90:.3f}", f"{point.median:.1f}", f"{point.p95:.1f}")
            table.add_row(point.name, *figures)
        console.print(table)
    if options.plot:
        plot(points, options.plot)
    print(json.dumps({kind: [msgspec.to_builtins(point) for point in line] for kind, line in points.items()}))


if __name__ == "__main__":
    main()
