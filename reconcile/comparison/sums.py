"""Counts and sums of each side by bucket: equal ones need no look at single records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

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


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket of one file. `ids`: sum mod 2^64 of hash(material_id, revision); `full`: of outcome and content ID
    too; `windows`: of the windows; `flags`: rows in a wrong window, or late. `good…`: of those rows that another side
    must hold too: decisions of the ledger, what the index holds now, what Redis shows."""

    side: str
    bucket: int
    chain: str = ""
    policy: str = ""
    n: int
    distinct_n: int | None = 0
    ids: int | None = 0
    full: int | None = 0
    windows: int | None = 0
    flags: int | None = 0
    good_n: int = 0
    good_distinct: int | None = 0
    good: int | None = 0


class BucketSums(msgspec.Struct, frozen=True, kw_only=True):
    """One side of one bucket, of one chain or policy (`scope`). Fields as in `Sums`."""

    bucket: int
    side: str
    scope: str = ""
    n: int
    distinct_n: int
    ids: int = 0
    full: int = 0
    windows: int = 0
    flags: int = 0


def sides(found: Iterable[Sums]) -> list[BucketSums]:
    """Every side: those that belong to a chain, and those that belong to a policy."""
    made = []
    for one in found:
        if one.side in "ENMLS":
            made.append(
                BucketSums(
                    bucket=one.bucket,
                    side=one.side,
                    scope=one.chain,
                    n=one.n,
                    distinct_n=one.distinct_n or 0,
                    ids=one.ids or 0,
                    full=one.full or 0,
                    windows=one.windows or 0,
                    flags=one.flags or 0,
                )
            )
        if one.side == "I":
            n, distinct, full = one.n, one.distinct_n or 0, one.full or 0
            made.append(_held("I", one, n, distinct, full))
        held = {"L": "D", "I": "P", "R": "R"}.get(one.side)
        if held and one.good_n:
            made.append(_held(held, one, one.good_n, one.good_distinct or 0, one.good or 0))
    return made


def _held(side: str, one: Sums, n: int, distinct: int, full: int) -> BucketSums:
    return BucketSums(bucket=one.bucket, side=side, scope=one.policy, n=n, distinct_n=distinct, full=full)


class SideFigures(msgspec.Struct, frozen=True):
    """A whole side, as the report shows it. `sum`: 16 hexadecimal digits."""

    side: str
    n: int
    distinct: int
    sum: str


_NONE = BucketSums(bucket=-1, side="", n=0, distinct_n=0)


def differing(found: Iterable[BucketSums]) -> tuple[set[int], set[int]]:
    """Buckets whose runs differ, and buckets whose decisions differ."""
    runs: dict[tuple[int, str], dict[str, BucketSums]] = defaultdict(dict)
    policies: dict[tuple[int, str], dict[str, BucketSums]] = defaultdict(dict)
    for one in found:
        cell = (runs if one.side in "ENMLS" else policies)[one.bucket, one.scope]
        cell[one.side] = _together(cell.get(one.side), one)
    return (
        {bucket for (bucket, _), cell in runs.items() if not _runs_agree(cell)},
        {bucket for (bucket, _), cell in policies.items() if not _policies_agree(cell)},
    )


def _together(one: BucketSums | None, other: BucketSums) -> BucketSums:
    """The ledger of a policy may come from several chains."""
    if one is None:
        return other
    fields = ("n", "distinct_n", "ids", "full", "windows", "flags")
    return replace(other, **{name: getattr(one, name) + getattr(other, name) for name in fields})


def _runs_agree(cell: dict[str, BucketSums]) -> bool:
    e, n, ended, results = (cell.get(side, _NONE) for side in "ENLS")
    identities = {(s.n, s.distinct_n, s.ids & _MASK) for s in (e, n, ended, results)}
    answers = not (ended.full - results.full) & _MASK
    return (
        len(identities) == 1 and answers and n.windows == ended.windows and not (n.flags or ended.flags or "M" in cell)
    )


def _policies_agree(cell: dict[str, BucketSums]) -> bool:
    decided, index, holds, shown = (_figures(cell.get(side, _NONE)) for side in "DIPR")
    return decided == index and holds == shown


def _figures(one: BucketSums) -> tuple[int, int, int]:
    return one.n, one.distinct_n, one.full & _MASK


def whole(found: Iterable[BucketSums]) -> list[SideFigures]:
    """The sides, all buckets together, in a fixed order."""
    totals: dict[str, list[int]] = {side: [0, 0, 0] for side in SIDES}
    for one in found:
        total = totals[one.side]
        total[0] += one.n
        total[1] += one.distinct_n
        total[2] += one.ids if one.side in "ENM" else one.full
    return [
        SideFigures(SIDES[side], n, d, f"{total & _MASK:016x}")
        for side, (n, d, total) in totals.items()
        if n or side != "M"
    ]
