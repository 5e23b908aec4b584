"""Score the video ranker on a benchmark folder: `python -m benchmarks.fit.evaluate_videos BENCH --out pred.jsonl`.

Every reference is a candidate of every query: what is measured is fine ranking, without recall and content IDs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import msgspec

from benchmarks.fit.video_features import Embedder
from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.video import VideoAlignment


def evidence(bench: Path, part: str, key: str, embedder: Embedder) -> list[Evidence]:
    """All clips of `video/{part}.jsonl`."""
    rows = [json.loads(line) for line in (bench / "video" / f"{part}.jsonl").read_text().splitlines()]
    return [
        Evidence(
            material_id=row[key],
            kind="video",
            features=embedder.data((bench / row["path"]).read_bytes(), row["path"]),
        )
        for row in rows
    ]


def load(bench: Path, cache: Path | None) -> tuple[list[Evidence], list[Evidence]]:
    """References and queries; their features are kept in `cache`, if one is given."""
    if cache and cache.is_file():
        return msgspec.msgpack.decode(cache.read_bytes(), type=tuple[list[Evidence], list[Evidence]])
    embedder = Embedder()
    both = evidence(bench, "refs", "ref_id", embedder), evidence(bench, "queries", "query_id", embedder)
    if cache:
        cache.write_bytes(msgspec.msgpack.encode(both))
    return both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--features", type=Path, help="cache of the features (msgpack)")
    options = parser.parse_args()
    references, queries = load(options.bench, options.features)
    ranker, started, rows = VideoAlignment(), time.process_time(), []
    for query in queries:
        for candidate in ranker.rank(query, references, Recall(hits={})):
            rows.append({"query_id": query.material_id, "ref_id": candidate.material_id, "score": candidate.score})
    spent = (time.process_time() - started) * 1e3
    options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(json.dumps({"references": len(references), "queries": len(queries), "cpu_ms_per_pair": spent / len(rows)}))


if __name__ == "__main__":
    main()
