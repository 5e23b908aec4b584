"""Compare what the job decided with the demo's truth: pairs of materials, and one outcome for every line. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from materials.records import OUTCOMES, Outcome


class Pairs(msgspec.Struct, frozen=True):
    """Unordered pairs of materials. `right`: in one cluster and in one content ID; `found`: in one content ID;
    `true`: in one cluster."""

    right: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """Right pairs among those found; 1 where none was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Right pairs among the true ones; 1 where there is none."""
        return self.right / self.true if self.true else 1.0


def count_pairs(truth: Mapping[str, Hashable], found: Mapping[str, Hashable]) -> Pairs:
    """Pairs by counting cells of the contingency table, not pairs one by one.

    Args:
        truth: material -> cluster; a material that is not in it shares a cluster with none.
        found: material -> content ID; a material that is not in it shares a content ID with none.
    """
    cells = Counter((truth[name], found[name]) for name in truth.keys() & found.keys())
    return Pairs(right=_two_of(cells), found=_two_of(Counter(found.values())), true=_two_of(Counter(truth.values())))


def _two_of(sizes: Mapping[Any, int]) -> int:
    return sum(n * (n - 1) // 2 for n in sizes.values())


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes:
    overall: pairs over all materials; two kinds under one content ID count as wrong.
    by_kind: pairs among the materials of a kind.
    outcomes: outcome -> number; by_kind_outcomes: the same for each kind (`?` where it could not be read).
    problems: what must not be, in sentences; empty when every line has exactly one outcome and the bad ones are
        rejected with a reason.
    """

    overall: Pairs
    by_kind: dict[str, Pairs]
    outcomes: dict[str, int]
    by_kind_outcomes: dict[str, dict[str, int]]
    problems: list[str]


def score(truth: Mapping[str, str], planted: Collection[str], results: Sequence[Outcome]) -> Score:
    """Judge the results of a run.

    Args:
        truth: good materials -> cluster, `kind:…`.
        planted: ids of the bad lines' outcomes.
        results: all outcome records of the run.
    """
    found = {r.material_id: r.content_id for r in results if r.content_id and r.outcome in ("unique", "duplicate")}
    members: dict[str, dict[str, str]] = defaultdict(dict)
    for name, cluster in truth.items():
        members[cluster.partition(":")[0]][name] = cluster
    outcomes = Counter(r.outcome for r in results)
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        table[result.kind or "?"][result.outcome] += 1
    return Score(
        overall=count_pairs(truth, found),
        by_kind={
            kind: count_pairs(clusters, {name: found[name] for name in clusters if name in found})
            for kind, clusters in sorted(members.items())
        },
        outcomes={name: outcomes.get(name, 0) for name in OUTCOMES},
        by_kind_outcomes={kind: dict(sorted(counts.items())) for kind, counts in sorted(table.items())},
        problems=list(_problems(truth.keys(), planted, results)),
    )


def _problems(good: Collection[str], planted: Collection[str], results: Sequence[Outcome]) -> Iterable[str]:
    times = Counter(r.material_id for r in results)
    expected = [*good, *planted]
    for name in expected:
        if times[name] != 1:
            yield f"{name} has {times[name]} outcomes instead of one"
    for name in sorted(times.keys() - set(expected)):
        yield f"{name} has an outcome and stands in no input line"
    bad = frozenset(planted)
    for result in results:
        if result.material_id in bad and result.outcome != "rejected":
            yield f"{result.material_id} is a planted bad input and came out as {result.outcome}"
        elif result.material_id in bad and not (result.reason and ": " in result.reason):
            yield f"{result.material_id} was rejected without a `code: sentence`"
        elif result.material_id in good and result.outcome not in ("unique", "duplicate"):
            yield f"{result.material_id} is a good input and came out as {result.outcome}: {result.reason}"
