"""Counts and sums of each side by bucket: equal ones need no look at single records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

SIDES = {
    "E": "source",
    "N": "ledger: entered",
    "M": "ledger: entered again by repair",
    "L": "ledger: ended",
    "S": "results",
    "D": "ledger: decided",
    "I": "index: decided",
    "P": "index: holds",
    "R": "Redis",
}
_MASK = (1 << 64) - 1


class BucketSums(msgspec.Struct, frozen=True, kw_only=True):
    """One side of one bucket. `ids`: sum mod 2^64 of hash(run or policy, material_id, revision); `full`: of outcome and
    content ID too; `windows`: of the windows; `flags`: rows in a wrong window, or late."""

    bucket: int
    side: str
    n: int
    distinct_n: int
    ids: int = 0
    full: int = 0
    windows: int | None = None
    flags: int = 0


class SideFigures(msgspec.Struct, frozen=True):
    """A whole side, as the report shows it. `sum`: 16 hexadecimal digits."""

    side: str
    n: int
    distinct: int
    sum: str


_NONE = BucketSums(bucket=-1, side="", n=0, distinct_n=0)


def differing(sums: Iterable[BucketSums]) -> tuple[set[int], set[int]]:
    """Buckets whose runs differ, and buckets whose decisions differ."""
    by_bucket: dict[int, dict[str, BucketSums]] = defaultdict(dict)
    for one in sums:
        by_bucket[one.bucket][one.side] = one
    runs = {bucket for bucket, sides in by_bucket.items() if not _runs_agree(sides)}
    policies = {bucket for bucket, sides in by_bucket.items() if not _policies_agree(sides)}
    return runs, policies


def _runs_agree(sides: dict[str, BucketSums]) -> bool:
    e, n, ended, results = (sides.get(side, _NONE) for side in "ENLS")
    identities = {(s.n, s.distinct_n, s.ids) for s in (e, n, ended, results)}
    answers = ended.full == results.full
    windows = (n.windows or 0) == (ended.windows or 0)
    return len(identities) == 1 and answers and windows and not n.flags and not ended.flags


def _policies_agree(sides: dict[str, BucketSums]) -> bool:
    decided, index, holds, shown = (sides.get(side, _NONE) for side in "DIPR")
    return (decided.n, decided.distinct_n, decided.full) == (index.n, index.distinct_n, index.full) and (
        holds.n,
        holds.distinct_n,
        holds.full,
    ) == (shown.n, shown.distinct_n, shown.full)


def whole(sums: Iterable[BucketSums]) -> list[SideFigures]:
    """The sides, all buckets together, in a fixed order."""
    totals: dict[str, list[int]] = {side: [0, 0, 0] for side in SIDES}
    for one in sums:
        total = totals[one.side]
        total[0] += one.n
        total[1] += one.distinct_n
        total[2] += one.ids if one.side in "ENM" else one.full
    return [
        SideFigures(SIDES[side], n, d, f"{total & _MASK:016x}")
        for side, (n, d, total) in totals.items()
        if n or side != "M"
    ]
