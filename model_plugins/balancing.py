"""Which endpoint takes the next call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from model_plugins.instances import Endpoint


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


class RoundRobin:
    """Each in turn, by address; one that joins or leaves does not send the turn back to the first."""

    def __init__(self) -> None:
        self._last = ""

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """The next address after the last one."""
        left = sorted((each for each in endpoints if each.address not in tried), key=lambda each: each.address)
        if not left:
            return None
        chosen = next((each for each in left if each.address > self._last), left[0])
        self._last = chosen.address
        return chosen

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """Takes no notice."""
