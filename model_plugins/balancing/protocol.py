"""What a balancing strategy is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from model_plugins.discovery.instances import Endpoint

Clock = Callable[[], float]
"""Monotonic seconds."""
Key = tuple[str, str]
"""Model and address: two models on one server have latencies and faults of their own."""


class Balancer(Protocol):
    """Chooses among the endpoints of one model. Used from one event loop; must not wait.

    Each `pick` that returns an endpoint is followed by exactly one `done` for it, whatever became of the call, so
    that a balancer can count what is outstanding and time what has ended.
    """

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """The endpoint for the next attempt, or None when all of them are in `tried` (addresses)."""
        ...

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """The attempt has ended after `seconds`; `error` is None when it was answered."""
        ...

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """These are all endpoints that `model` has now, also those that get no calls: forget the others."""
        ...


def key_of(endpoint: Endpoint) -> Key:
    """What its figures are kept under."""
    return endpoint.model, endpoint.address


def untried(endpoints: Sequence[Endpoint], tried: Collection[str]) -> Sequence[Endpoint]:
    """Those whose address is not in `tried`."""
    return [each for each in endpoints if each.address not in tried] if tried else endpoints


def gone_keys(known: Collection[Key], model: str, endpoints: Sequence[Endpoint]) -> list[Key]:
    """The keys of `model` in `known` whose endpoint is no longer there."""
    alive = {each.address for each in endpoints}
    return [key for key in known if key[0] == model and key[1] not in alive]
