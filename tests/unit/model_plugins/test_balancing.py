"""Round robin."""

from __future__ import annotations

from collections import Counter

from model_plugins.balancing import RoundRobin
from model_plugins.instances import Endpoint


def endpoints(*ports: int) -> list[Endpoint]:
    return [Endpoint(id=str(port), model="m", address=f"h:{port}") for port in ports]


def test_each_in_turn() -> None:
    balancer = RoundRobin()
    picked = [balancer.pick(endpoints(3, 1, 2)) for _ in range(9)]
    assert Counter(each.address for each in picked if each) == {"h:1": 3, "h:2": 3, "h:3": 3}


def test_what_was_tried_is_passed_over() -> None:
    balancer = RoundRobin()
    first = balancer.pick(endpoints(1, 2))
    assert first is not None
    second = balancer.pick(endpoints(1, 2), {first.address})
    assert second is not None
    assert second.address != first.address
    assert balancer.pick(endpoints(1, 2), {"h:1", "h:2"}) is None
    assert balancer.pick([]) is None


def test_one_that_joins_does_not_send_the_turn_back() -> None:
    balancer = RoundRobin()
    assert [each.address for each in (balancer.pick(endpoints(1, 3)), balancer.pick(endpoints(1, 2, 3))) if each] == [
        "h:1",
        "h:2",
    ]
