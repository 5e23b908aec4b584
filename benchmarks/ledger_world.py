"""A made-up system of any size, as reconciliation sees it: source, ledger, results, index and Redis, all of which agree
until a discrepancy is planted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from reconcile.comparison.inputs import ExpectedLine, IndexLine, Inputs, RedisLine, ResultFiles, write_lines
from reconcile.ledger.rows import LedgerRow, encode, window_of

RUN = "made-up-20260101T000000Z-000000"
BEGIN = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""
KINDS = ("image", "video", "post")
PLUGINS = {
    "image": "image-embedding@1,image-local@1,image-pdq@1",
    "video": "video-embedding@1,video-local@1",
    "post": "text-embedding@1",
}


class World:
    """Lists of every side, by material; plant discrepancies in them, then `write`.

    Args:
        n: materials.
        seed: of everything that is random.
        span_s: seconds over which they enter.
    """

    def __init__(self, n: int, seed: int = 0, span_s: float = 7200.0) -> None:
        rng = random.Random(seed)
        self.expected: list[ExpectedLine] = []
        self.rows: list[LedgerRow] = []
        self.results: list[dict[str, object]] = []
        self.index: list[IndexLine] = []
        self.redis: list[RedisLine] = []
        for i in range(n):
            self._add(i, BEGIN + span_s * i / n, rng)

    def _add(self, i: int, at: float, rng: random.Random) -> None:
        material_id, kind = f"M{i:08d}", KINDS[i % 3]
        duplicate = rng.random() < 0.3
        outcome = "duplicate" if duplicate else "unique"
        content_id = f"feed-{(rng.randrange(i + 1) if duplicate else i):016x}"
        source = f"{i // 100_000:04d}.jsonl"
        took = rng.lognormvariate(-1.5, 0.6)
        rest = {
            "window": window_of(at),
            "kind": kind,
            "material_id": material_id,
            "revision": 0,
            "source": source,
            "partition": 0,
            "offset": -1,
            "run": RUN,
            "chain": RUN,
            "job": "made-up",
            "policy": "feed",
            "entered_at": at,
        }
        self.expected.append(ExpectedLine(RUN, kind, material_id, 0, source, BEGIN))
        self.rows.append(LedgerRow(stage="entered", at=at, **rest))  # type: ignore[arg-type]
        ended = LedgerRow(
            stage="ended",
            at=at + took,
            outcome=outcome,
            content_id=content_id,
            attempts=1 + (rng.random() < 0.01),
            plugins=PLUGINS[kind],
            **rest,  # type: ignore[arg-type]
        )
        self.rows.append(ended)
        self.results.append(
            {
                "material_id": material_id,
                "revision": 0,
                "kind": kind,
                "outcome": outcome,
                "content_id": content_id,
                "matched": {"material_id": f"M{i // 2:08d}", "score": 0.98, "recall_score": 0.97, "ranker": "image@1"}
                if duplicate
                else None,
                "parts": [],
                "candidates": [],
                "features": {name: {"schema": "vector", "dtype": "float32"} for name in PLUGINS[kind].split(",")},
                "reason": None,
                "attempts": ended.attempts,
                "latency_ms": round(took * 1000, 1),
                "trace_id": f"{rng.getrandbits(128):032x}",
            }
        )
        self.index.append(IndexLine("feed", material_id, 0, outcome, content_id, True, True, content_id))
        self.redis.append(RedisLine("feed", material_id, 0, outcome, content_id, content_id))

    def write(self, folder: Path) -> Inputs:
        """Files as a system would have them."""
        rows, results = folder / "ledger", folder / "results"
        for each in (rows, results):
            each.mkdir(parents=True)
        _write(rows / f"{RUN}-0.jsonl", (encode(row).encode() for row in self.rows))
        _write(results / f"{RUN}-0.jsonl", (msgspec.json.encode(result) for result in self.results))
        write_lines(folder / "expected.json", self.expected)
        write_lines(folder / "index.json", self.index)
        write_lines(folder / "redis.json", self.redis)
        return Inputs(
            expected=folder / "expected.json",
            index=folder / "index.json",
            redis=folder / "redis.json",
            ledger=rows,
            runs=(RUN,),
            results=(ResultFiles(RUN, "feed", results, RUN),),
        )


def _write(path: Path, lines: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
