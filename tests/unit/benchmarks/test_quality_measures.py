"""Measures against figures worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures import Prediction, Truth, score_groups, score_pairs

TRUTHS = [
    Truth("q1", "r1", ("crop",), 1),
    Truth("q2", "r2", ("crop", "mirror"), 2),
    Truth("q3", None, ("crop",), 1),
    Truth("q4", "r4", ("mirror",), 3),
]


def test_average_precision_counts_all_queries_in_one_list() -> None:
    rows = [Prediction("q1", "r1", 0.9), Prediction("q3", "r1", 0.8), Prediction("q2", "r2", 0.7)]
    score = score_pairs(TRUTHS, rows)
    assert score.uap == pytest.approx(1 / 3 * 1.0 + 1 / 3 * (2 / 3))
    assert (score.recall_at_p90, score.threshold) == (pytest.approx(1 / 3), 0.9)
    assert score.recall_at_1 == score.max_recall == pytest.approx(2 / 3)
    assert (score.queries, score.positives) == (4, 3)


def test_ties_are_one_step() -> None:
    rows = [Prediction("q1", "r1", 0.5), Prediction("q3", "r9", 0.5)]
    assert score_pairs(TRUTHS, rows).uap == score_pairs(TRUTHS, rows[::-1]).uap == pytest.approx(1 / 3 * 0.5)


def test_a_pair_counts_once_with_its_best_score_and_strangers_do_not_count() -> None:
    rows = [Prediction("q1", "r1", 0.2), Prediction("q1", "r1", 0.6), Prediction("x", "r1", 0.9)]
    score = score_pairs(TRUTHS, rows)
    assert (score.uap, score.threshold) == (pytest.approx(1 / 3), 0.6)


def test_attacks_put_together_have_a_row_of_their_own() -> None:
    score = score_pairs(TRUTHS, [Prediction("q2", "r2", 0.9), Prediction("q4", "r1", 0.5), Prediction("q4", "r4", 0.4)])
    assert set(score.by_attack) == {"crop", "mirror", "2 together"}
    assert (score.by_attack["crop"].n, score.by_attack["crop"].recall_at_1) == (1, 0.0)
    assert (score.by_attack["2 together"].recall_at_1, score.by_attack["2 together"].recall_at_p90) == (1.0, 1.0)
    assert score.by_attack["mirror"].recall_at_1 == 0.0


def test_without_a_reference_recall_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="no query"):
        score_pairs([Truth("q", None)], [])


@given(
    st.lists(st.tuples(st.sampled_from(["q1", "q2", "q3", "q4"]), st.sampled_from(["r1", "r2", "r4"]), st.floats(0, 1)))
)
def test_figures_stay_in_their_bounds(rows: list[tuple[str, str, float]]) -> None:
    score = score_pairs(TRUTHS, [Prediction(*row) for row in rows])
    assert 0.0 <= score.uap <= score.max_recall <= 1.0
    assert score.recall_at_p90 <= score.max_recall
    assert score.recall_at_1 <= score.max_recall


def test_b_cubed_by_hand() -> None:
    truth = {"a": "1", "b": "1", "c": "1", "d": "2"}
    score = score_groups(truth, {"a": "x", "b": "x", "c": "y", "d": "y", "other": "y"})
    assert score.precision == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    assert score.recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4)
    assert score.largest == 2


def test_a_material_without_a_content_id_stands_alone() -> None:
    score = score_groups({"a": "1", "b": "1"}, {})
    assert (score.precision, score.recall) == (1.0, 0.5)
