"""Strategies: what all of them keep to, and what each is for."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import Overloaded, Permanent, Retryable, UsageError
from model_plugins.balancing import (
    NAMES,
    Balancer,
    LeastOutstanding,
    PeakEwma,
    RoundRobin,
    Weighted,
    ZoneAware,
    by_name,
)
from model_plugins.call_errors import ServerGone
from model_plugins.discovery.instances import Endpoint


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def endpoints(*ports: int, **changes: object) -> list[Endpoint]:
    return [Endpoint(id=str(port), model="m", address=f"h:{port}", **changes) for port in ports]  # type: ignore[arg-type]


def make(name: str, clock: Clock | None = None) -> Balancer:
    return by_name(name, clock=clock or Clock(), randomness=random.Random(7), zone="a")


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_every_strategy_picks_what_it_is_given_and_nothing_that_was_tried(name: str, data: st.DataObject) -> None:
    clock, balancer = Clock(), make(name)
    under_way: list[Endpoint] = []
    errors = st.sampled_from([None, Retryable("r"), Overloaded("o"), Permanent("p"), ServerGone("g")])
    for _ in range(data.draw(st.integers(1, 25))):
        clock.now += data.draw(st.floats(0, 3))
        given_now = [
            Endpoint(id=str(n), model="m", address=f"h:{n}", zone="ab"[n % 2], weight=[0.0, 1.0, 2.5][n % 3])
            for n in sorted(data.draw(st.sets(st.integers(0, 8), max_size=6)))
        ]
        tried = {f"h:{n}" for n in data.draw(st.sets(st.integers(0, 8), max_size=6))}
        chosen = balancer.pick(given_now, tried)
        left = [each for each in given_now if each.address not in tried]
        assert (chosen in left) if left else (chosen is None)
        if chosen is not None:
            under_way.append(chosen)
        if under_way and data.draw(st.booleans()):
            balancer.done(under_way.pop(), data.draw(st.floats(0, 10)), data.draw(errors))
        if data.draw(st.booleans()):
            balancer.keep("m", given_now)


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_reaches_every_endpoint(name: str) -> None:
    clock = Clock()
    balancer, known = make(name, clock), endpoints(1, 2, 3)
    seen = Counter()
    for _ in range(300):
        chosen = balancer.pick(known)
        assert chosen is not None
        seen[chosen.address] += 1
        clock.now += 0.01
        balancer.done(chosen, 0.01, None)
    assert min(seen.values()) > 20


@pytest.mark.parametrize("name", NAMES)
def test_no_strategy_remembers_endpoints_that_left(name: str) -> None:
    balancer = make(name)
    for port in range(50):
        [only] = endpoints(port, zone="a")
        balancer.keep("m", [only])
        assert balancer.pick([only]) is only
        balancer.done(only, 0.1, None)
    balancer.keep("m", [])
    inner = balancer._inner if isinstance(balancer, ZoneAware) else balancer
    remembered = [value for value in (vars(inner) | vars(balancer)).values() if isinstance(value, dict)]
    assert all(not each for each in remembered)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="p2c-emwa") as caught:
        by_name("p2c-emwa")
    assert "'p2c-ewma'" in caught.value.remedy
    assert all(name in caught.value.remedy for name in NAMES)
    assert isinstance(by_name(""), PeakEwma)


class TestRoundRobin:
    def test_each_in_turn(self) -> None:
        balancer = RoundRobin()
        picked = [balancer.pick(endpoints(3, 1, 2)) for _ in range(9)]
        assert Counter(each.address for each in picked if each) == {"h:1": 3, "h:2": 3, "h:3": 3}

    def test_what_was_tried_is_passed_over(self) -> None:
        balancer = RoundRobin()
        first = balancer.pick(endpoints(1, 2))
        assert first is not None
        second = balancer.pick(endpoints(1, 2), {first.address})
        assert second is not None
        assert second.address != first.address
        assert balancer.pick(endpoints(1, 2), {"h:1", "h:2"}) is None
        assert balancer.pick([]) is None

    def test_one_that_joins_does_not_send_the_turn_back(self) -> None:
        balancer = RoundRobin()
        picked = (balancer.pick(endpoints(1, 3)), balancer.pick(endpoints(1, 2, 3)))
        assert [each.address for each in picked if each] == ["h:1", "h:2"]

    def test_two_models_have_turns_of_their_own(self) -> None:
        balancer = RoundRobin()
        other = [Endpoint(id="1", model="other", address=f"h:{port}") for port in (1, 2)]
        picked = [balancer.pick(each) for each in (endpoints(1, 2), other, endpoints(1, 2), other)]
        assert [each.address for each in picked if each] == ["h:1", "h:1", "h:2", "h:2"]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any))
def test_weighted_shares_are_exact_in_each_cycle(weights: list[int]) -> None:
    known = [Endpoint(id=str(n), model="m", address=f"h:{n}", weight=weight) for n, weight in enumerate(weights)]
    balancer = Weighted()
    for _cycle in range(2):
        seen = Counter(chosen.address for _ in range(sum(weights)) if (chosen := balancer.pick(known)))
        assert seen == {f"h:{n}": weight for n, weight in enumerate(weights) if weight}


def test_least_outstanding_counts_by_weight() -> None:
    balancer = LeastOutstanding(random.Random(1))
    known = [Endpoint(id=str(n), model="m", address=f"h:{n}", weight=w) for n, w in enumerate((1.0, 3.0))]
    seen = Counter(chosen.address for _ in range(8) if (chosen := balancer.pick(known)))
    assert seen == {"h:0": 2, "h:1": 6}
    for _ in range(5):
        balancer.done(known[1], 1.0, None)
    assert balancer.pick(known) == known[1]


class TestPeakEwma:
    def ask(
        self, balancer: PeakEwma, clock: Clock, endpoint: Endpoint, seconds: float, error: Exception | None
    ) -> None:
        assert balancer.pick([endpoint]) is endpoint
        clock.now += seconds
        balancer.done(endpoint, seconds, error)

    def test_jumps_at_once_and_decays_by_its_time_constant(self) -> None:
        clock, [one] = Clock(), endpoints(1)
        balancer = PeakEwma(clock, random.Random(1), decay=10.0)
        self.ask(balancer, clock, one, 0.1, None)
        self.ask(balancer, clock, one, 2.0, None)
        assert balancer.latency(one) == pytest.approx(2.0)
        clock.now += 10.0
        assert balancer.latency(one) == pytest.approx(2.0 / 2.718281828)
        self.ask(balancer, clock, one, 0.0, None)
        assert balancer.latency(one) == pytest.approx(2.0 / 2.718281828, rel=1e-3)

    def test_the_slow_one_is_avoided_and_tried_again_later(self) -> None:
        clock, known = Clock(), endpoints(1, 2, 3)
        balancer = PeakEwma(clock, random.Random(1), decay=5.0)
        seen: list[str] = []
        for _ in range(4000):
            chosen = balancer.pick(known)
            assert chosen is not None
            seen.append(chosen.address)
            seconds = 0.2 if chosen.address == "h:1" else 0.01
            clock.now += 0.01
            balancer.done(chosen, seconds, None)
        counts = Counter(seen)
        assert 1 < counts["h:1"] < 0.02 * len(seen), "explored, and no more than that"

    @pytest.mark.parametrize("error", [ServerGone("refused"), Retryable("internal"), Overloaded("full")])
    def test_quick_failures_never_attract_calls(self, error: Exception) -> None:
        clock, known = Clock(), endpoints(1, 2)
        balancer = PeakEwma(clock, random.Random(1))
        for each in known:
            self.ask(balancer, clock, each, 0.1, None)
        self.ask(balancer, clock, known[0], 0.001, error)
        assert balancer.latency(known[0]) > 1.9 * balancer.latency(known[1])

    def test_bad_input_says_nothing_of_the_server(self) -> None:
        clock, [one] = Clock(), endpoints(1)
        balancer = PeakEwma(clock, random.Random(1))
        self.ask(balancer, clock, one, 0.1, None)
        before = balancer.latency(one)
        self.ask(balancer, clock, one, 0.0, Permanent("shape"))
        assert balancer.latency(one) == pytest.approx(before, rel=1e-6)

    def test_an_unknown_one_gets_one_call_until_it_has_answered(self) -> None:
        clock, known = Clock(), endpoints(1, 2)
        balancer = PeakEwma(clock, random.Random(1))
        self.ask(balancer, clock, known[0], 0.5, None)
        assert balancer.pick(known) is known[1]
        assert [balancer.pick(known) for _ in range(3)] == [known[0]] * 3


class TestZoneAware:
    def build(self) -> tuple[ZoneAware, list[Endpoint]]:
        balancer = ZoneAware(RoundRobin(), "a", random.Random(3))
        known = [*endpoints(1, 2, 3, 4, zone="a"), *endpoints(5, 6, zone="b")]
        balancer.keep("m", known)
        return balancer, known

    def share_at_home(self, balancer: ZoneAware, given: list[Endpoint]) -> float:
        picked = [balancer.pick(given) for _ in range(2000)]
        return sum(each is not None and each.zone == "a" for each in picked) / len(picked)

    def test_stays_at_home_while_the_zone_can_carry_it(self) -> None:
        balancer, known = self.build()
        assert self.share_at_home(balancer, known) == 1.0
        assert self.share_at_home(balancer, known[1:]) == 1.0, "three of four, with a spare of 1.4"

    def test_spills_by_what_is_left_of_the_zone(self) -> None:
        balancer, known = self.build()
        assert self.share_at_home(balancer, known[2:]) == pytest.approx(0.7, abs=0.04)
        assert self.share_at_home(balancer, known[3:]) == pytest.approx(0.35, abs=0.04)
        assert self.share_at_home(balancer, known[4:]) == 0.0

    def test_tried_at_home_goes_elsewhere(self) -> None:
        balancer, known = self.build()
        chosen = balancer.pick(known, {each.address for each in known if each.zone == "a"})
        assert chosen is not None
        assert chosen.zone == "b"
