"""Measures of copy detection and of grouping. Pure: rows in, figures out.

Micro-AP is DISC21's (Douze et al., "The 2021 Image Similarity Dataset and Challenge", 2021): the answers of all
queries stand in one list by falling score, so scores must be comparable across queries. B-cubed: Bagga and Baldwin,
"Entity-based cross-document coreferencing using the vector space model", 1998.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

PRECISION = 0.9


class Truth(msgspec.Struct, frozen=True):
    """One query: the reference that it is a copy of (None: of none), and how it was made."""

    query_id: str
    ref_id: str | None
    attacks: tuple[str, ...] = ()
    strength: int = 0
    hard: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows of the table by attack that it counts in: one attack, or the number of attacks put together."""
        return self.attacks if len(self.attacks) < 2 else (f"{len(self.attacks)} together",)


class Prediction(msgspec.Struct, frozen=True):
    """One answer: a query shares content with a reference, with this score."""

    query_id: str
    ref_id: str
    score: float


class AttackScore(msgspec.Struct, frozen=True):
    """Shares of the `n` queries of one attack: the right reference is first; it is found at the threshold of
    90 % precision."""

    n: int
    recall_at_1: float
    recall_at_p90: float


class PairScore(msgspec.Struct, frozen=True):
    """`threshold`: the lowest score at which precision is still 90 %, None where it never is. `max_recall`: true
    pairs that stand in the list at all."""

    uap: float
    recall_at_p90: float
    recall_at_1: float
    max_recall: float
    threshold: float | None
    queries: int
    positives: int
    by_attack: dict[str, AttackScore]


def score_pairs(truths: Sequence[Truth], predictions: Iterable[Prediction]) -> PairScore:
    """Micro-AP, the best recall at 90 % precision, recall at rank 1.

    Ties in score are one step. A row for a query without a reference is a false positive; recall counts all true
    pairs, also those that no row names. Of several rows for one pair the best counts; rows of unknown queries do not.

    Raises:
        ValueError: no query has a reference.
    """
    wanted = {truth.query_id: truth.ref_id for truth in truths}
    positives = sum(ref_id is not None for ref_id in wanted.values())
    if not positives:
        raise ValueError("no query has a reference: recall means nothing")
    best: dict[tuple[str, str], float] = {}
    for row in predictions:
        if row.query_id in wanted:
            pair = row.query_id, row.ref_id
            best[pair] = max(best.get(pair, row.score), row.score)
    rows = sorted(best.items(), key=lambda entry: -entry[1])
    right = seen = 0
    average = recall = at_p90 = 0.0
    threshold: float | None = None
    for score, tied in groupby(rows, key=lambda entry: entry[1]):
        for (query_id, ref_id), _ in tied:
            seen += 1
            right += wanted[query_id] == ref_id
        precision, before, recall = right / seen, recall, right / positives
        average += precision * (recall - before)
        if precision >= PRECISION:
            at_p90, threshold = recall, score
    first: dict[str, str] = {}
    for (query_id, ref_id), _ in rows:
        first.setdefault(query_id, ref_id)
    hit = {q for q, ref_id in wanted.items() if ref_id is not None and first.get(q) == ref_id}
    sure = {q for (q, r), score in rows if threshold is not None and score >= threshold and wanted[q] == r}
    return PairScore(
        average, at_p90, len(hit) / positives, recall, threshold, len(wanted), positives, _by_attack(truths, hit, sure)
    )


def _by_attack(truths: Sequence[Truth], hit: set[str], sure: set[str]) -> dict[str, AttackScore]:
    counted, first, found = Counter[str](), Counter[str](), Counter[str]()
    for truth in truths:
        if truth.ref_id is None:
            continue
        for label in truth.labels:
            counted[label] += 1
            first[label] += truth.query_id in hit
            found[label] += truth.query_id in sure
    return {label: AttackScore(n, first[label] / n, found[label] / n) for label, n in sorted(counted.items())}


class GroupScore(msgspec.Struct, frozen=True):
    """B-cubed over `n` materials; `largest`: members of the largest group that was found."""

    precision: float
    recall: float
    f1: float
    n: int
    largest: int


def score_groups(truth: Mapping[str, Hashable], found: Mapping[str, str]) -> GroupScore:
    """B-cubed precision, recall and F1 of a grouping.

    Args:
        truth: material -> cluster; only these count.
        found: material -> content ID; one without is a group of its own.

    Raises:
        ValueError: an empty truth.
    """
    if not truth:
        raise ValueError("no material has a true cluster")
    label: dict[str, Hashable] = {name: found.get(name, ("alone", name)) for name in truth}
    clusters, groups = Counter(truth.values()), Counter(label.values())
    cells = Counter((truth[name], label[name]) for name in truth)
    precision = sum(n * n / groups[group] for (_, group), n in cells.items()) / len(truth)
    recall = sum(n * n / clusters[cluster] for (cluster, _), n in cells.items()) / len(truth)
    return GroupScore(
        precision, recall, 2 * precision * recall / (precision + recall), len(truth), max(groups.values())
    )
