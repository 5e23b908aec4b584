"""Whether content IDs depend on the order in which materials arrive.

    python -m benchmarks.arrival FOLDER [--kind image] [--orders 20] [--materials N] [--merge] [--cache DIR]
                                [--image-model MODEL] [--fusion WEIGHTS.json]

References and copies of one kind of a benchmark folder (as `benchmarks.quality` takes it) are assigned to an empty
engine in this process, in `--orders` random orders; features are made once. Every two orders are compared by B-cubed
F1, one as the truth of the other; each order also with the true contents. `--merge`: the merge job runs once at each
order's end, as `sosie content merge --scan` does, which joins what arrived before the copy between. The last line is
one JSON object.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: small products, one core

import argparse
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from benchmarks.bench_sets import KINDS, Item, load
from benchmarks.image_models import add_options, rankers
from benchmarks.measures import score_groups
from benchmarks.policies import as_item, usable
from materials.records import Kind
from vector_index.content import operations, proposals
from vector_index.engine import Engine
from vector_index.ranking.protocol import Ranker

BATCH = 32
PAGE = 64
WHO = "merge job"


def grouped(
    items: Sequence[Item], kind: Kind, policy: str, merge: bool, judges: Mapping[Kind, Ranker]
) -> dict[str, str]:
    """Material -> content ID after all have arrived in this order."""
    with tempfile.TemporaryDirectory(prefix="sosie-arrival-") as folder:
        engine = Engine(Path(folder), judges, clock=lambda: 0.0)
        try:
            for start in range(0, len(items), BATCH):
                engine.assign([as_item(one, kind, policy) for one in items[start : start + BATCH]])
            if merge:
                merge_all(engine, policy)
            names = [one.name for one in items]
            found = engine.located(names, policy)
            return {name: content_id for name, (_, content_id) in zip(names, found, strict=True)}
        finally:
            engine.close(take_snapshot=False)


def merge_all(engine: Engine, policy: str) -> int:
    """One run of the merge job; content IDs that it redirected."""
    after, done = 0, 0
    while True:
        page = engine.look(lambda shelf, at=after: proposals.scan(shelf, policy, at, PAGE))
        for one in page.proposals:
            if one.barred:
                continue
            two = one.content_id, one.into
            changed = engine.change(
                lambda shelf, two=two, score=one.score: operations.merge(shelf, *two, WHO, "score", score)
            )
            done += changed.changed
        if not page.after:
            return done
        after = page.after


def main() -> None:
    """Assign in every order, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=list(KINDS), default="image")
    parser.add_argument("--policy", default="feed")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--materials", type=int, default=0, help="take so many only; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sosie-bench-features")
    add_options(parser)
    options = parser.parse_args()
    given = load(options.folder.resolve(), options.kind, options.cache, options.image_model)
    if given is None:
        parser.error(f"{options.folder} holds nothing of kind {options.kind}")
    rng = random.Random(options.seed)
    items = [one for one in [*given.references, *given.queries] if usable(one, given.kind)]
    if options.materials:
        items = sorted(items, key=lambda one: (one.content, one.name))[: options.materials]
    judges = rankers(options.fusion)
    orders = [
        grouped(rng.sample(items, len(items)), given.kind, options.policy, options.merge, judges)
        for _ in range(options.orders)
    ]
    truth = {one.name: one.content for one in items}
    scores = [score_groups(truth, order) for order in orders]
    right = [score.f1 for score in scores]
    agreed = sorted(score_groups(one, other).f1 for one, other in combinations(orders, 2))
    print(
        json.dumps(
            {
                "kind": options.kind,
                "policy": options.policy,
                "materials": len(items),
                "orders": len(orders),
                "merged_at_the_end": options.merge,
                "agreement_lowest": round(agreed[0], 4),
                "agreement_mean": round(sum(agreed) / len(agreed), 4),
                "truth_lowest": round(min(right), 4),
                "truth_mean": round(sum(right) / len(right), 4),
                "precision_mean": round(sum(score.precision for score in scores) / len(scores), 4),
                "recall_mean": round(sum(score.recall for score in scores) / len(scores), 4),
                "largest_group": max(score.largest for score in scores),
            }
        )
    )


if __name__ == "__main__":
    main()
