"""Latency quantiles, the time of an attempt, and hedging."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_plugins.balancing import Latencies
from model_plugins.client.hedging import hedged
from model_plugins.client.patience import FLOOR_S, Patience
from model_plugins.discovery.instances import Endpoint

ONE, TWO = (Endpoint(id=str(n), model="m", address=f"h:{n}") for n in (1, 2))


@given(st.lists(st.floats(2e-4, 500), min_size=1, max_size=400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantiles_are_right_to_a_tenth(samples: list[float], share: float) -> None:
    latencies = Latencies()
    for each in samples:
        latencies.add(each)
    exact = sorted(samples)[math.ceil(len(samples) * share - 1e-9) - 1]
    assert exact <= latencies.quantile(share) * 1.0001
    assert latencies.quantile(share) <= exact * 1.11


def test_the_recent_thousand_decides() -> None:
    latencies = Latencies()
    for _ in range(5000):
        latencies.add(0.01)
    for _ in range(3000):
        latencies.add(1.0)
    assert latencies.quantile(0.5) > 0.9
    with pytest.raises(ValueError, match="no latency"):
        Latencies().quantile(0.5)


def test_without_a_history_half_of_what_is_left() -> None:
    assert Patience().seconds(ONE, 10.0, 0) == 5.0


def test_four_times_the_p99_with_a_floor_and_never_more_than_half() -> None:
    patience = Patience()
    for _ in range(100):
        patience.answered(ONE, 0.2)
    assert patience.seconds(ONE, 60.0, 0) == pytest.approx(0.8, rel=0.12)
    assert patience.seconds(ONE, 60.0, 2) == pytest.approx(3.2, rel=0.12), "longer after each time-out of the call"
    assert patience.seconds(ONE, 1.0, 0) == 0.5
    assert patience.seconds(TWO, 60.0, 0) == pytest.approx(0.8, rel=0.12), "a new server is judged by the others"
    for _ in range(100):
        patience.answered(TWO, 0.001)
    assert patience.seconds(TWO, 60.0, 0) == FLOOR_S


def test_time_outs_make_patient() -> None:
    """A model that became slow for good is not given up for ever."""
    patience = Patience()
    for _ in range(200):
        patience.answered(ONE, 0.2)
    before = patience.seconds(ONE, 60.0, 0)
    for _ in range(80):
        patience.gave_up(ONE, before)
    assert patience.seconds(ONE, 60.0, 0) > 4 * before


def test_a_slow_server_cannot_teach_more_patience_than_the_quickest_one_bears_out() -> None:
    patience = Patience()
    for _ in range(200):
        patience.answered(ONE, 0.1)
        patience.answered(TWO, 5.0)
    assert patience.seconds(TWO, 60.0, 0) == pytest.approx(1.6, rel=0.12)
    for _ in range(2000):
        patience.answered(ONE, 5.0)  # when all are slow, so is the input
    assert patience.seconds(TWO, 60.0, 0) == pytest.approx(20, rel=0.12)


def test_hedges_past_the_p95_once_enough_is_known() -> None:
    patience, lot = Patience(), random.Random(1)
    for number in range(1000):
        assert (patience.hedge_after("m") is None) == (number < 100)
        patience.answered((ONE, TWO)[number % 2], lot.random())
    assert patience.hedge_after("m") == pytest.approx(0.95, rel=0.12)


class Work:
    """Attempts that end when told."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.results: dict[str, asyncio.Future[str]] = {}

    async def attempt(self, name: str) -> str:
        self.results[name] = asyncio.get_running_loop().create_future()
        try:
            return await self.results[name]
        finally:
            self.ended.append(name)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError


def test_the_first_answer_counts_and_the_other_is_cancelled() -> None:
    async def go() -> None:
        work = Work()
        call = asyncio.create_task(hedged(work.attempt("a"), 0.0, lambda: work.attempt("b")))
        await until(lambda: len(work.results) == 2)
        work.results["b"].set_result("from b")
        assert await call == "from b"
        assert sorted(work.ended) == ["a", "b"]
        assert work.results["a"].cancelled()

    asyncio.run(go())


def test_a_failure_waits_for_the_other_attempt() -> None:
    async def go() -> None:
        work = Work()
        call = asyncio.create_task(hedged(work.attempt("a"), 0.0, lambda: work.attempt("b")))
        await until(lambda: len(work.results) == 2)
        work.results["a"].set_exception(ValueError("a"))
        await until(lambda: work.ended == ["a"])
        assert not call.done()
        work.results["b"].set_exception(ValueError("b"))
        with pytest.raises(ValueError, match="b"):
            await call

    asyncio.run(go())


def test_a_quick_answer_needs_no_second_attempt_and_none_may_be_had() -> None:
    async def go() -> None:
        work = Work()
        call = asyncio.create_task(hedged(work.attempt("a"), 60.0, lambda: work.attempt("b")))
        await until(lambda: "a" in work.results)
        work.results["a"].set_result("quick")
        assert await call == "quick"
        assert work.ended == ["a"]
        alone = asyncio.create_task(hedged(work.attempt("c"), 0.0, lambda: None))
        await until(lambda: "c" in work.results)
        work.results["c"].set_result("alone")
        assert await alone == "alone"

    asyncio.run(go())


def test_whoever_stops_waiting_stops_both() -> None:
    async def go() -> None:
        work = Work()
        call = asyncio.create_task(hedged(work.attempt("a"), 0.0, lambda: work.attempt("b")))
        await until(lambda: len(work.results) == 2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert sorted(work.ended) == ["a", "b"]

    asyncio.run(go())
