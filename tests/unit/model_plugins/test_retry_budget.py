"""The retry budget against a plain account of what came in and went out."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_plugins.balancing import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


EVENTS = st.lists(st.one_of(st.just("call"), st.just("retry"), st.integers(0, 40)), max_size=300)


@given(EVENTS)
def test_the_same_as_a_plain_account(events: list[str | int]) -> None:
    clock = Clock()
    budget = RetryBudget(clock, share=0.25, per_second=2.0, most=16.0)  # exact in binary
    account = Fraction(2)
    for event in events:
        if event == "call":
            budget.deposit()
            account = min(Fraction(16), account + Fraction(1, 4))
        elif event == "retry":
            assert budget.withdraw() == (account >= 1)
            account -= account >= 1
        else:
            clock.now += int(event) / 8
            account = min(Fraction(16), account + Fraction(int(event), 4))
            assert budget.tokens == account
        assert account >= 0


@given(calls=st.integers(100, 2000), each=st.integers(1, 5))
def test_a_storm_gets_a_fifth_and_the_minimum(calls: int, each: int) -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    retries = 0
    for _ in range(calls):
        budget.deposit()
        retries += sum(budget.withdraw() for _ in range(each))
        clock.now += 0.001
    assert retries <= 0.2 * calls + 5.0 * (1 + calls / 1000) + 1
    assert retries >= 0.2 * calls - 1


def test_who_calls_seldom_may_retry_all_the_same() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(50):
        budget.deposit()
        assert budget.withdraw()
        clock.now += 1.0
    clock.now += 1e6
    assert budget.tokens == pytest.approx(100), "quiet times save up only so much"
