"""Pair counts against a count one by one; every fault in the results is told."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from materials.records import Outcome, OutcomeKind
from pipeline.demo.score import Pairs, count_pairs, score

_names = st.sampled_from([f"m{i}" for i in range(14)])
_labels = st.dictionaries(_names, st.integers(0, 4))


def _oracle(truth: dict[str, int], found: dict[str, int]) -> Pairs:
    def together(labels: dict[str, int], a: str, b: str) -> bool:
        return a in labels and b in labels and labels[a] == labels[b]

    pairs = list(combinations(sorted(truth.keys() | found.keys()), 2))
    return Pairs(
        right=sum(together(truth, a, b) and together(found, a, b) for a, b in pairs),
        found=sum(together(found, a, b) for a, b in pairs),
        true=sum(together(truth, a, b) for a, b in pairs),
    )


@given(truth=_labels, found=_labels)
def test_pairs_are_those_counted_one_by_one(truth: dict[str, int], found: dict[str, int]) -> None:
    counted = count_pairs(truth, found)
    assert counted == _oracle(truth, found)
    assert 0.0 <= counted.precision <= 1.0
    assert 0.0 <= counted.recall <= 1.0


@given(truth=_labels)
def test_the_truth_scores_itself_perfectly(truth: dict[str, int]) -> None:
    counted = count_pairs(truth, {name: f"cid-{label}" for name, label in truth.items()})
    assert (counted.precision, counted.recall) == (1.0, 1.0)


def _outcome(name: str, outcome: OutcomeKind, cid: str | None = None, reason: str | None = None) -> Outcome:
    return Outcome(material_id=name, revision=0, kind="image", outcome=outcome, content_id=cid, reason=reason)


TRUTH = {"a": "image:1", "b": "image:1", "c": "image:2"}
GOOD = [
    _outcome("a", "unique", "x"),
    _outcome("b", "duplicate", "x"),
    _outcome("c", "unique", "y"),
    _outcome("bad", "rejected", reason="empty_file: the file has no bytes."),
]


def test_a_clean_run_has_no_problem() -> None:
    judged = score(TRUTH, ["bad"], GOOD)
    assert judged.problems == []
    assert judged.overall == judged.by_kind["image"] == Pairs(right=1, found=1, true=1)
    assert judged.outcomes == {"unique": 2, "duplicate": 1, "rejected": 1, "dead": 0, "deleted": 0}


def test_lost_doubled_and_strange_lines_are_told() -> None:
    judged = score(TRUTH, ["bad"], [*GOOD[1:], GOOD[1], _outcome("ghost", "unique", "z")])
    assert judged.problems == [
        "a has 0 outcomes instead of one",
        "b has 2 outcomes instead of one",
        "ghost has an outcome and stands in no input line",
    ]


def test_a_bad_input_that_got_through_is_told() -> None:
    judged = score(TRUTH, ["bad"], [*GOOD[:3], _outcome("bad", "duplicate", "x")])
    assert judged.problems == ["bad is a planted bad input and came out as duplicate"]
    assert judged.overall == Pairs(right=1, found=3, true=1), "its pairs are wrong pairs"


def test_a_rejection_needs_a_reason_and_a_good_input_an_id() -> None:
    rejected = _outcome("c", "rejected", reason="not_an_image: c.jpg is text.")
    judged = score(TRUTH, ["bad"], [*GOOD[:2], rejected, _outcome("bad", "rejected", reason="no")])
    assert judged.problems == [
        "c is a good input and came out as rejected: not_an_image: c.jpg is text.",
        "bad was rejected without a `code: sentence`",
    ]


def test_a_content_id_across_kinds_is_wrong_in_all_only() -> None:
    truth = {"a": "image:1", "p": "post:1"}
    results = [_outcome("a", "unique", "x"), _outcome("p", "duplicate", "x")]
    judged = score(truth, [], results)
    assert judged.overall.precision == 0.0
    assert judged.by_kind["image"].precision == judged.by_kind["post"].precision == 1.0
