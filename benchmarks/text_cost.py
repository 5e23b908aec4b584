"""What a text costs: CPU time of its features, and of its way through the index: recall, fine ranking, content ID, log.

    .venv/bin/python -m benchmarks.text_cost FOLDER [--queries 2000] [--call 32]

FOLDER is a copy-detection set as `benchmarks/quality.py` takes it. Its references are stored in an engine in this
process, then the first queries are assigned in calls of `--call` materials; one core, all threads of the process are
counted. The last line is JSON: milliseconds a text, `features_ms`, `index_ms` and their sum `ms`; `p95_ms` over calls.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.bench_sets import Extractor, Item, rows
from benchmarks.policies import as_item
from model_plugins.protocol import TextMedia
from vector_index.engine import Engine
from vector_index.ranking.registry import default_rankers

STORED_AT_ONCE = 256


def extracted(extractor: Extractor, given: list[tuple[str, str]]) -> tuple[list[Item], float]:
    """Texts with their features, and the CPU seconds of all."""
    started = time.process_time()
    made = [Item(name, name, text, extractor.features("text", TextMedia(text))) for name, text in given]
    return made, time.process_time() - started


def texts(folder: Path, part: str, key: str) -> list[tuple[str, str]]:
    """(name, text) of the references or the queries."""
    return [(row[key], row["text"]) for row in rows(folder / "text" / f"{part}.jsonl")]


def main() -> None:
    """Store, assign, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--call", type=int, default=32)
    options = parser.parse_args()
    extractor = Extractor()
    stored, _ = extracted(extractor, texts(options.folder, "refs", "ref_id"))
    asked = texts(options.folder, "queries", "query_id")[: options.queries]
    features, costs = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="sosie-text-cost-") as folder:
        engine = Engine(Path(folder), default_rankers())
        try:
            for start in range(0, len(stored), STORED_AT_ONCE):
                engine.assign([as_item(one, "post", "feed") for one in stored[start : start + STORED_AT_ONCE]])
            for start in range(0, len(asked), options.call):
                call, spent = extracted(extractor, asked[start : start + options.call])
                items = [as_item(one, "post", "feed") for one in call]
                started = time.process_time()
                engine.assign(items)
                features.append(spent * 1e3 / len(call))
                costs.append((time.process_time() - started) * 1e3 / len(call))
        finally:
            engine.close(take_snapshot=False)
    both = [one + other for one, other in zip(features, costs, strict=True)]
    print(
        json.dumps(
            {
                "texts": len(asked),
                "stored": len(stored),
                "call": options.call,
                "features_ms": round(statistics.median(features), 3),
                "index_ms": round(statistics.median(costs), 3),
                "ms": round(statistics.median(both), 3),
                "p95_ms": round(statistics.quantiles(both, n=20)[-1], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
