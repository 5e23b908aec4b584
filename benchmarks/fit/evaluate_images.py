"""The image path without servers against a set of references and attacked queries: plug-ins, spaces, ranker.

    python -m benchmarks.fit.evaluate_images FOLDER OUT.jsonl [--without image-embedding] [--model ONNX]

FOLDER holds `image/refs.jsonl` and `image/queries.jsonl` (rows with `ref_id` or `query_id`, and `path` relative to
FOLDER). OUT gets rows `{"query_id", "ref_id", "score"}`. An examination: nothing is fitted on such a set.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2

from benchmarks.fit.image_gallery import Extractor, Gallery, read_rgb
from model_plugins.recipes.build import build_image_embedding, default_cache
from vector_index.ranking.image import ImageFusion
from vector_index.ranking.protocol import Evidence

NAMES = ("image-embedding", "image-local", "image-pdq")
KEPT = 10


def rows(path: Path) -> list[dict[str, str]]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def main() -> None:
    """Store the references, ask for the queries, write the pairs and print CPU milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", action="append", default=[], choices=NAMES)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = options.model or build_image_embedding(default_cache())
    extractor = Extractor(model, [name for name in NAMES if name not in options.without])
    gallery, ranker = Gallery(), ImageFusion()
    spent = {"extract": 0.0, "recall": 0.0, "rank": 0.0}
    for row in rows(options.folder / "image" / "refs.jsonl"):
        gallery.add(row["ref_id"], extractor.features(read_rgb(options.folder / row["path"])))
    asked = rows(options.folder / "image" / "queries.jsonl")
    with options.out.open("w") as out:
        for row in asked:
            picture = read_rgb(options.folder / row["path"])
            started = time.process_time()
            features = extractor.features(picture)
            extracted = time.process_time()
            candidates, recall = gallery.recall(features)
            recalled = time.process_time()
            query = Evidence(material_id=row["query_id"], kind="image", features=features)
            ranked = sorted(ranker.rank(query, candidates, recall), key=lambda found: -found.score)
            ended = time.process_time()
            spent["extract"] += extracted - started
            spent["recall"] += recalled - extracted
            spent["rank"] += ended - recalled
            for found in ranked[:KEPT]:
                line = {"query_id": row["query_id"], "ref_id": found.material_id, "score": found.score}
                out.write(json.dumps(line) + "\n")
    cost = {part: round(seconds / len(asked) * 1e3, 1) for part, seconds in spent.items()}
    print(json.dumps({"references": len(gallery), "queries": len(asked), "cpu_ms_per_query": cost}))


if __name__ == "__main__":
    main()
