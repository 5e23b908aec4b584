"""Quality of the engine in this process: references, then queries are assigned, and the queries' answers are scored.

    python -m benchmarks.quality_engine FOLDER [--kind video] [--policy feed] [--cache DIR]
                                       [--image-model MODEL] [--fusion WEIGHTS.json] [--without image-local]

FOLDER is a copy-detection set as `benchmarks/quality.py` takes it, which runs the same through the whole job: here are
the features of the real plug-ins, the engine's log, recall, rankers and content IDs, without Flink and model servers.
The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import json
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from benchmarks.bench_sets import KINDS, BenchSet, load, rows
from benchmarks.image_models import add_options, rankers
from benchmarks.measures import Prediction, Truth, score_pairs
from benchmarks.policies import as_item, usable
from materials.records import Kind
from vector_index.engine import Engine
from vector_index.ranking.protocol import Ranker

BATCH = 32


def answers(given: BenchSet, policy: str, judges: Mapping[Kind, Ranker]) -> list[Prediction]:
    """What the engine says of references, ten candidates a query at most; other queries may match too, and are no
    answer."""
    references = {one.name for one in given.references}
    found: list[Prediction] = []
    with tempfile.TemporaryDirectory(prefix="sosie-quality-") as folder:
        engine = Engine(Path(folder), judges, clock=lambda: 0.0)
        try:
            everything = [one for one in [*given.references, *given.queries] if usable(one, given.kind)]
            for start in range(0, len(everything), BATCH):
                for said in engine.assign(
                    [as_item(one, given.kind, policy) for one in everything[start : start + BATCH]]
                ):
                    if said.material_id not in references:
                        found += [
                            Prediction(said.material_id, one.material_id, one.score)
                            for one in said.candidates
                            if one.material_id in references
                        ]
        finally:
            engine.close(take_snapshot=False)
    return found


def lacking(given: BenchSet, plugins: Collection[str]) -> BenchSet:
    """The set as a job sees it that does not name these plug-ins."""
    references, queries = (
        [
            msgspec.structs.replace(
                one,
                features={key: value for key, value in one.features.items() if key.partition("@")[0] not in plugins},
            )
            for one in items
        ]
        for items in (given.references, given.queries)
    )
    return BenchSet(given.kind, references, queries, given.attacks)


def main() -> None:
    """Assign, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=list(KINDS), default="video")
    parser.add_argument("--policy", default="feed")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sosie-bench-features")
    parser.add_argument("--without", action="append", default=[], metavar="PLUGIN", help="leave its features out")
    add_options(parser)
    options = parser.parse_args()
    given = load(options.folder.resolve(), options.kind, options.cache, options.image_model)
    if given is None:
        parser.error(f"{options.folder} holds nothing of kind {options.kind}")
    truths = msgspec.convert(rows(options.folder / options.kind / "gt.jsonl"), list[Truth])
    score = score_pairs(truths, answers(lacking(given, options.without), options.policy, rankers(options.fusion)))
    by_attack = {name: [found.n, round(found.recall_at_p90, 3)] for name, found in score.by_attack.items()}
    print(
        json.dumps(
            {
                "kind": options.kind,
                "uap": round(score.uap, 4),
                "recall_at_p90": round(score.recall_at_p90, 4),
                "recall_at_1": round(score.recall_at_1, 4),
                "queries": score.queries,
                "copies": score.positives,
                "by_attack": by_attack,
            }
        )
    )


if __name__ == "__main__":
    main()
