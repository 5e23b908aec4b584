"""CPU of each stage of an assign call, in one process and one thread: where the service's milliseconds an item go.

    .venv/bin/python benchmarks/index_stages.py --n 100000 --batch 32 --group 8 [--profile out/decide.prof]

The service's own steps on a copy of the prepared state of `benchmarks/index.py`: a request's bytes become records, are
checked, searched ahead, decided `--group` calls a transaction, and answered as bytes. Items differ by run, so each is
new. The last line is JSON: CPU ms an item by stage, `total`, and `bare` (FAISS search and add of the same batches).
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import cProfile
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.index_bench.bare import Bare
from benchmarks.index_bench.state import cached_state, copied, item_of
from benchmarks.index_bench.vectors import base_vectors, cache_folder, stream_after
from vector_index.codec import assign_request, assign_response, item_from_wire
from vector_index.engine import Engine
from vector_index.preparation import RECALL_K
from vector_index.proto import index_pb2 as pb
from vector_index.ranking.registry import default_rankers
from vector_index.segments.settings import SegmentSettings


class Stages:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What the block costs is the stage's."""
        began = time.process_time()
        yield
        self.spent[name] += time.process_time() - began  # type: ignore[assignment]


def through(engine: Engine, requests: list[bytes], group: int, stages: Stages) -> None:
    """All requests, in groups of so many calls."""
    for start in range(0, len(requests), group):
        some = requests[start : start + group]
        with stages.stage("parse"):
            messages = [pb.AssignRequest.FromString(one) for one in some]
        with stages.stage("records"):
            calls = [[item_from_wire(item) for item in message.items] for message in messages]
        with stages.stage("check"):
            for items in calls:
                engine.check(items)
        with stages.stage("search"):
            prepared = [engine.prepare(items) for items in calls]
        with stages.stage("decide"):
            answers = engine.decide(list(zip(calls, prepared, strict=True)))
            for one in prepared:
                engine.forgo(one)
        with stages.stage("answer"):
            for answer in answers:
                assign_response(answer).SerializeToString()


def _profiled(path: Path | None, call: Callable[[], None]) -> None:
    if path is None:
        return call()
    profile = cProfile.Profile()
    profile.runcall(call)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile.dump_stats(path)
    return None


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=3000, help="vectors that are stored before")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--group", type=int, default=8, help="calls of one transaction")
    parser.add_argument("--items", type=int, default=8192)
    parser.add_argument("--warm", type=int, default=0, help="items before, that are not counted")
    parser.add_argument("--nprobe", type=int, default=SegmentSettings().nprobe)
    parser.add_argument("--cell-margin", type=float, default=SegmentSettings().cell_margin)
    parser.add_argument("--profile", type=Path)
    args = parser.parse_args()
    base = base_vectors(args.n)
    share = args.batch * args.group
    warm = max(1, args.warm // share) * share
    vectors = stream_after(base, args.items + warm).vectors
    requests = []
    for start in range(0, len(vectors), args.batch):
        items = [item_of(f"new-{start}-{i}", one) for i, one in enumerate(vectors[start : start + args.batch])]
        requests.append(assign_request(items).SerializeToString())
    stages = Stages()
    with tempfile.TemporaryDirectory(prefix="stages-", dir=cache_folder()) as folder:
        state = copied(cached_state(base), Path(folder) / "state")
        storage = SegmentSettings(nprobe=args.nprobe, cell_margin=args.cell_margin)
        engine = Engine(state, default_rankers(), snapshot_every=10**9, storage=storage)
        through(engine, requests[: warm // args.batch], args.group, Stages())
        _profiled(args.profile, lambda: through(engine, requests[warm // args.batch :], args.group, stages))
        counters = engine.stats().counters
        engine.close(take_snapshot=False)
    bare = Bare(base, 1, cached_state(base))
    began = time.process_time()
    bare.loop([vectors[at : at + args.batch] for at in range(warm, len(vectors), args.batch)], RECALL_K, args.nprobe)
    bare_s = time.process_time() - began
    answer = {name: round(spent / args.items * 1000, 4) for name, spent in stages.spent.items()}
    answer["total"] = round(sum(stages.spent.values()) / args.items * 1000, 4)
    answer["bare"] = round(bare_s / args.items * 1000, 4)
    print(json.dumps({**answer, "n": args.n, "batch": args.batch, "counters": counters}))


if __name__ == "__main__":
    main()
