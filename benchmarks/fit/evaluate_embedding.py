"""The image embedding alone on a benchmark folder: `python -m benchmarks.fit.evaluate_embedding BENCH --out DIR`.

Writes `cosine.jsonl` and `own_rank.jsonl` (cosine less the mean of the query's ranks 2 to 6): twenty best each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.fit.video_features import Embedder
from model_plugins.builtin.image_embedding import squash


def embeddings(bench: Path, part: str, key: str, embedder: Embedder) -> tuple[list[str], NDArray[np.float32]]:
    """Ids and unit vectors [n, 256] of `image/{part}.jsonl`."""
    rows = [json.loads(line) for line in (bench / "image" / f"{part}.jsonl").read_text().splitlines()]
    vectors = []
    for row in rows:
        picture = cv2.imread(str(bench / row["path"]), cv2.IMREAD_COLOR)
        assert picture is not None, row["path"]
        vectors.append(embedder.images(squash(np.ascontiguousarray(picture[..., ::-1]))[None])[0])
    return [row[key] for row in rows], np.stack(vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="another model.onnx")
    options = parser.parse_args()
    embedder = Embedder(options.model)
    references, r = embeddings(options.bench, "refs", "ref_id", embedder)
    queries, q = embeddings(options.bench, "queries", "query_id", embedder)
    cosine = q @ r.T
    ranked = -np.sort(-cosine, axis=1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, score in (("cosine", cosine), ("own_rank", cosine - ranked[:, 1:6].mean(1, keepdims=True))):
        best = np.argsort(-score, axis=1)[:, :20]
        lines = [
            json.dumps({"query_id": query, "ref_id": references[j], "score": float(score[i, j])})
            for i, query in enumerate(queries)
            for j in best[i]
        ]
        (options.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
