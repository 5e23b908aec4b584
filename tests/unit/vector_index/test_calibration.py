"""Thresholds and probabilities from labelled pairs, against plain counting and pairs drawn from a known law."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from vector_index.calibration.bounds import least_sample, lower_bound, upper_bound
from vector_index.calibration.curve import ScoredPair, curve, threshold_for
from vector_index.calibration.platt import Line, fit_line, shipped
from vector_index.calibration.reliability import reliability

pairs = st.lists(st.builds(ScoredPair, score=st.sampled_from([n / 20 for n in range(21)]), same=st.booleans()))


def drawn(seed: int, count: int, overconfidence: float = 1.0, shift: float = 0.0) -> list[ScoredPair]:
    """Pairs that are of same content with probability p, scored by a ranker that distorts the log-odds of p."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        odds = rng.gauss(-1.0, 3.0)
        same = rng.random() < 1 / (1 + math.exp(-odds))
        found.append(ScoredPair(1 / (1 + math.exp(-(overconfidence * odds + shift))), same))
    return found


def test_wilson_bounds_of_the_textbook() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion": 81 of 263, 15 of 148, 0 of 20
    assert lower_bound(81, 263, 0.975) == pytest.approx(0.2553, abs=5e-4)
    assert upper_bound(81, 263, 0.975) == pytest.approx(0.3662, abs=5e-4)
    assert lower_bound(15, 148, 0.975) == pytest.approx(0.0624, abs=5e-4)
    assert upper_bound(0, 20, 0.975) == pytest.approx(0.1611, abs=5e-4)
    assert lower_bound(7, 9, 0.5) == pytest.approx(7 / 9)


@pytest.mark.parametrize(("share", "confidence"), [(0.9, 0.95), (0.99, 0.95), (0.95, 0.8), (0.5, 0.99)])
def test_least_sample_is_the_first_that_can_show_it(share: float, confidence: float) -> None:
    count = least_sample(share, confidence)
    assert lower_bound(count, count, confidence) >= share - 1e-9
    assert count == 1 or lower_bound(count - 1, count - 1, confidence) < share


@given(pairs, st.floats(0.01, 1))
def test_a_curve_counts_what_plain_counting_counts(given_pairs: list[ScoredPair], threshold: float) -> None:
    found = curve(given_pairs).at(threshold)
    right = sum(one.same for one in given_pairs if one.score >= threshold)
    wrong = sum(not one.same for one in given_pairs if one.score >= threshold)
    assert (found.right, found.wrong) == (right, wrong)
    assert found.recall_low <= found.recall <= found.recall_high
    if right + wrong:
        assert found.precision == right / (right + wrong)


@given(st.integers(0, 1000), st.sampled_from([0.7, 0.8, 0.9]))
def test_a_fitted_threshold_is_the_lowest_that_is_precise_enough(seed: int, precision: float) -> None:
    known = drawn(seed, 800)
    found = curve(known)
    chosen = threshold_for(found, precision)
    assert found.at(chosen.threshold).precision_low >= precision
    lower = {one.score for one in known if one.score < chosen.threshold}
    assert all(found.at(score).precision_low < precision for score in lower)
    assert chosen.threshold not in {one.score for one in known}


def test_a_fitted_threshold_holds_on_pairs_that_it_never_saw() -> None:
    missed = 0
    for seed in range(20):
        threshold = threshold_for(curve(drawn(seed, 2000)), 0.9).threshold
        missed += curve(drawn(seed + 500, 20_000)).at(threshold).precision < 0.9
    assert missed <= 4  # one in twenty is allowed each; more than four of twenty has a chance of 0.3 %


@pytest.mark.parametrize(
    ("same", "different", "precision", "words"),
    [(24, 500, 0.9, "too few"), (500, 9, 0.9, "too few"), (200, 500, 0.99, "too few"), (0, 0, 0.5, "too few")],
)
def test_too_few_pairs_are_refused(same: int, different: int, precision: float, words: str) -> None:
    known = [ScoredPair(0.9, True)] * same + [ScoredPair(0.1, False)] * different
    with pytest.raises(UsageError, match=words) as caught:
        threshold_for(curve(known), precision)
    assert "label at least" in caught.value.remedy


def test_scores_that_tell_nothing_have_no_threshold() -> None:
    known = [ScoredPair(n / 100, n % 2 == 0) for n in range(1, 101)] * 3
    with pytest.raises(UsageError, match="no threshold has a precision"):
        threshold_for(curve(known), 0.9)


@pytest.mark.parametrize(("factor", "shift"), [(2.0, 1.0), (0.5, -1.0), (1.0, 3.0)])
def test_a_line_takes_overconfidence_back_on_unseen_pairs(factor: float, shift: float) -> None:
    line = fit_line(drawn(1, 8000, factor, shift))
    assert line.slope == pytest.approx(1 / factor, rel=0.12)
    unseen = drawn(2, 8000, factor, shift)
    before = reliability(unseen).expected_error
    after = reliability([ScoredPair(line.probability(one.score), one.same) for one in unseen]).expected_error
    assert after < 0.02 < before


def test_a_line_keeps_the_order_and_the_ends() -> None:
    line = Line(0.4, -2.0)
    scores = [n / 1000 for n in range(1001)]
    said = [line.probability(score) for score in scores]
    assert said == sorted(said)
    assert (said[0], said[-1]) == (0.0, 1.0)
    assert Line().probability(0.37) == pytest.approx(0.37)


def test_a_line_needs_both_labels_and_survives_a_clean_cut() -> None:
    with pytest.raises(ValueError, match="both labels"):
        fit_line([ScoredPair(0.5, True)] * 10)
    line = fit_line([ScoredPair(0.9, True)] * 50 + [ScoredPair(0.1, False)] * 50)
    assert line.probability(0.9) == pytest.approx(51 / 52, abs=0.01)


def test_reliability_bins_say_what_is_true() -> None:
    found = reliability([ScoredPair(0.85, n < 17) for n in range(20)] + [ScoredPair(1.0, True)])
    assert [(one.low, one.pairs, one.true) for one in found.bins] == [(0.8, 20, 0.85), (0.9, 1, 1.0)]
    assert found.expected_error == pytest.approx(0.0, abs=1e-9)
    assert reliability([]).expected_error == 0


def test_shipped_lines_are_of_rankers_that_ship() -> None:
    from vector_index.ranking.registry import default_rankers
    from vector_index.ranking.text import NAME

    assert set(shipped()) <= {ranker.name for ranker in default_rankers().values()} | {NAME}
    assert all(line.slope > 0 for line in shipped().values())
