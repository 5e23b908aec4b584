"""Ejection, probes, slow start, panic, caps and rests, on a virtual clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from materials.errors import Overloaded, Permanent, Retryable
from model_plugins.balancing import NAMES, Guard, RoundRobin, Settings, by_name
from model_plugins.call_errors import AttemptTimedOut, ModelUnknown, ServerGone
from model_plugins.discovery.instances import Endpoint
from model_plugins.observing import Silent

ERRORS = [None, Retryable("r"), Overloaded("o", 0.5), Permanent("p"), ServerGone("g"), AttemptTimedOut("t")]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Heard(Silent):
    def __init__(self) -> None:
        self.events: list[tuple[str, str, float, str]] = []

    def ejected(self, model: str, endpoint: str, seconds: float, reason: str) -> None:
        self.events.append(("ejected", endpoint, seconds, reason))

    def readmitted(self, model: str, endpoint: str) -> None:
        self.events.append(("readmitted", endpoint, 0.0, ""))


def servers(count: int, first: int = 0) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(id=str(n), model="m", address=f"h:{n}") for n in range(first, first + count))


class Bench:
    """A guard over round robin, and the known endpoints."""

    def __init__(self, count: int, **figures: float) -> None:
        self.clock, self.heard = Clock(), Heard()
        self.known = servers(count)
        self.guard = Guard(RoundRobin(), self.clock, random.Random(5), Settings(**figures), self.heard)  # type: ignore[arg-type]
        self.guard.keep("m", self.known)

    def call(self, error: BaseException | None, address: str = "", seconds: float = 0.01) -> Endpoint:
        others = {each.address for each in self.known if address and each.address != address}
        chosen = self.guard.pick(self.known, others)
        assert chosen is not None, f"{address} gets no calls"
        self.guard.done(chosen, seconds, error)
        return chosen

    def counts(self, calls: int) -> Counter[str]:
        return Counter(self.call(None).address for _ in range(calls))


def test_failures_in_a_row_eject_and_an_answer_between_them_does_not() -> None:
    bench = Bench(4)
    for _ in range(3):
        for _ in range(4):
            bench.call(Retryable("r"), "h:0")
        bench.call(None, "h:0")
    assert not bench.guard.ejected("m")
    for _ in range(5):
        bench.call(Retryable("r"), "h:0")
    assert bench.guard.ejected("m") == {"h:0"}
    assert bench.heard.events == [("ejected", "h:0", 0.5, "consecutive_failures")]
    assert "h:0" not in bench.counts(30)


def test_two_time_outs_in_a_row_eject() -> None:
    bench = Bench(4)
    for error in (AttemptTimedOut("t"), None, AttemptTimedOut("t")):
        bench.call(error, "h:0")
    assert not bench.guard.ejected("m")
    bench.call(AttemptTimedOut("t"), "h:0")
    assert bench.guard.ejected("m") == {"h:0"}


def test_nobody_listening_ejects_at_once() -> None:
    bench = Bench(2)
    bench.call(ServerGone("refused"), "h:1")
    assert bench.guard.ejected("m") == {"h:1"}


@pytest.mark.parametrize("error", [Overloaded("full"), Permanent("bad shape"), ModelUnknown("not here")])
def test_full_queues_and_bad_input_never_eject(error: Exception) -> None:
    bench = Bench(4, success_volume=5.0)
    for _ in range(50):
        bench.call(error, "h:0")
        bench.call(None, "h:1")
    assert not bench.heard.events


def test_a_full_server_rests_for_as_long_as_it_asks() -> None:
    bench = Bench(3)
    bench.call(Overloaded("full", retry_after=2.0), "h:1")
    assert set(bench.counts(20)) == {"h:0", "h:2"}
    bench.clock.now += 2.1
    assert set(bench.counts(20)) == {"h:0", "h:1", "h:2"}
    for each in bench.known:
        bench.call(Overloaded("full", retry_after=2.0), each.address)
    assert set(bench.counts(20)) == {"h:0", "h:1", "h:2"}, "when all rest, none does"


def test_a_success_rate_far_below_the_others_ejects() -> None:
    bench = Bench(4, consecutive_failures=1000)
    for number in range(60):
        for each in bench.known:
            bench.call(Retryable("r") if each.address == "h:2" and number % 2 else None, each.address)
            bench.clock.now += 0.01
        if bench.guard.ejected("m"):
            break
    assert bench.guard.ejected("m") == {"h:2"}
    assert bench.heard.events[0][3] == "success_rate"
    assert number >= 15, "not by a few calls"


def test_a_fault_that_all_share_ejects_nobody_by_success_rate() -> None:
    bench, lot = Bench(4, consecutive_failures=1000), random.Random(11)
    for _ in range(800):
        bench.call(Retryable("r") if lot.random() < 0.5 else None)
        bench.clock.now += 0.01
    assert not bench.heard.events


def test_only_a_probe_brings_it_back_and_waiting_grows() -> None:
    bench = Bench(3, slow_start_s=0.0)
    seconds = []
    for _ in range(8):
        bench.call(ServerGone("g"), "h:0")
        seconds.append(bench.heard.events[-1][2])
        assert bench.guard.due() == []
        bench.clock.now += seconds[-1]
        assert "h:0" not in bench.counts(12), "its time is over, and still no call finds out for it"
        [due] = bench.guard.due()
        assert due.address == "h:0"
        assert bench.guard.due() == [], "one probe at a time"
        bench.guard.probed(due, True)
        assert bench.heard.events[-1][0] == "readmitted"
    assert seconds == [0.5, 1, 2, 4, 8, 16, 30, 30]
    bench.clock.now += 400  # a long time in good health is forgiven
    bench.call(ServerGone("g"), "h:0")
    assert bench.heard.events[-1][2] == 0.5


def test_a_failed_probe_is_repeated() -> None:
    bench = Bench(2)
    bench.call(ServerGone("g"), "h:0")
    bench.clock.now = bench.guard.next_due()
    [due] = bench.guard.due()
    bench.guard.probed(due, False)
    assert bench.heard.events[-1] == ("ejected", "h:0", 0.5, "probe_failed")
    assert bench.guard.next_due() == pytest.approx(bench.clock.now + 0.5)


def test_slow_start_ramps_up() -> None:
    bench = Bench(2, slow_start_s=10.0)
    bench.call(ServerGone("g"), "h:0")
    bench.clock.now = bench.guard.next_due()
    [due] = bench.guard.due()
    bench.guard.probed(due, True)
    shares = []
    for _ in range(4):
        shares.append(bench.counts(2000)["h:0"] / 2000)
        bench.clock.now += 10 / 3
    assert shares[0] < 0.12
    assert shares == sorted(shares)
    assert shares[3] == pytest.approx(0.5, abs=0.01)


def test_one_failure_in_the_slow_start_is_enough() -> None:
    bench = Bench(3)
    bench.call(ServerGone("g"), "h:0")
    bench.clock.now = bench.guard.next_due()
    [due] = bench.guard.due()
    bench.guard.probed(due, True)
    bench.clock.now += 5
    while bench.guard.ejected("m") == frozenset():
        if bench.call(None).address == "h:0":
            bench.call(AttemptTimedOut("t"), "h:0")
    assert bench.guard.ejected("m") == {"h:0"}


def test_one_that_joins_starts_slowly_and_the_first_ones_do_not() -> None:
    bench = Bench(2)
    assert bench.counts(10) == {"h:0": 5, "h:1": 5}
    bench.known = servers(3)
    bench.guard.keep("m", bench.known)
    assert bench.counts(1000)["h:2"] < 100
    bench.clock.now += 10
    assert bench.counts(300)["h:2"] == 100


def test_panic_uses_all() -> None:
    bench = Bench(4)
    for address in ("h:0", "h:1"):
        bench.call(ServerGone("g"), address)
    assert set(bench.counts(20)) == {"h:2", "h:3"}
    for _ in range(5):
        bench.call(Retryable("r"), "h:2")
    assert bench.guard.ejected("m") == {"h:0", "h:1"}, "never more than half"
    assert set(bench.counts(40)) == {"h:0", "h:1", "h:2", "h:3"}, "one in four in health"


def test_caps_hold_and_free() -> None:
    bench = Bench(2, cap=3)
    under_way = [bench.guard.pick(bench.known) for _ in range(6)]
    assert Counter(each.address for each in under_way if each) == {"h:0": 3, "h:1": 3}
    assert bench.guard.pick(bench.known) is None
    assert bench.guard.is_saturated(bench.known)
    assert under_way[0] is not None
    bench.guard.done(under_way[0], 0.1, None)
    assert not bench.guard.is_saturated(bench.known)
    assert bench.guard.pick(bench.known) == under_way[0]


@pytest.mark.parametrize("name", NAMES)
@given(kinds=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(ERRORS)), max_size=60), count=st.integers(1, 6))
@settings(max_examples=30)
def test_whatever_fails_every_strategy_still_finds_somebody(
    name: str, kinds: list[tuple[int, Exception | None]], count: int
) -> None:
    clock, known = Clock(), servers(count)
    guard = Guard(by_name(name, clock=clock, randomness=random.Random(1)), clock, random.Random(2))
    guard.keep("m", known)
    for number, error in kinds:
        tried = {each.address for each in known if each.id != str(number % count)}
        chosen = guard.pick(known, tried)
        if chosen is not None:
            guard.done(chosen, 0.01, error)
        anybody = guard.pick(known)
        assert anybody is not None
        guard.done(anybody, 0.01, None)
        clock.now += 0.1


class NeverMoreThanHalf(RuleBasedStateMachine):
    """Endpoints join, leave, fail and come back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.settings = Settings(cap=4)
        self.guard = Guard(RoundRobin(), self.clock, random.Random(3), self.settings)
        self.known: Sequence[Endpoint] = servers(4)
        self.guard.keep("m", self.known)
        self.under_way: list[Endpoint] = []

    @rule(first=st.integers(0, 3), count=st.integers(0, 7))
    def change(self, first: int, count: int) -> None:
        self.known = servers(count, first)
        self.guard.keep("m", self.known)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(tried=st.sets(st.integers(0, 10), max_size=5))
    def pick(self, tried: set[int]) -> None:
        chosen = self.guard.pick(self.known, {f"h:{n}" for n in tried})
        if chosen is not None:
            assert chosen in self.known
            assert int(chosen.id) not in tried
            self.under_way.append(chosen)

    @rule(error=st.sampled_from(ERRORS), data=st.data())
    def done(self, error: Exception | None, data: st.DataObject) -> None:
        if self.under_way:
            self.guard.done(self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1))), 0.1, error)

    @rule(ready=st.booleans())
    def probe(self, ready: bool) -> None:
        for endpoint in self.guard.due():
            self.guard.probed(endpoint, ready)

    @invariant()
    def holds(self) -> None:
        assert 2 * len(self.guard.ejected("m")) <= len(self.known)
        assert self.guard.ejected("m") <= {each.address for each in self.known}
        model = self.guard._models["m"]
        assert model.ejected == sum(each.ejected for each in model.members.values())
        assert all(0 <= each.outstanding <= self.settings.cap for each in model.members.values())
        assert self.guard._full == sum(each.outstanding == self.settings.cap for each in model.members.values())


TestNeverMoreThanHalf = NeverMoreThanHalf.TestCase
TestNeverMoreThanHalf.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
