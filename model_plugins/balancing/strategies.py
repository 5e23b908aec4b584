"""The plainer strategies: each in turn, each in turn by weight, fewest outstanding calls."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from model_plugins.balancing.protocol import Key, gone_keys, untried
from model_plugins.discovery.instances import Endpoint


class RoundRobin:
    """Each in turn, by address; one that joins or leaves does not send the turn back to the first."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """The next address after the last one."""
        following: Endpoint | None = None
        first: Endpoint | None = None
        for each in endpoints:
            if each.address in tried:
                continue
            if first is None or each.address < first.address:
                first = each
            if each.address > self._last.get(each.model, "") and (
                following is None or each.address < following.address
            ):
                following = each
        chosen = following or first
        if chosen is not None:
            self._last[chosen.model] = chosen.address
        return chosen

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """Takes no notice."""

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Forget the turn of a model without endpoints."""
        if not endpoints:
            self._last.pop(model, None)


class Weighted:
    """Each in turn, as often as its `weight` says, evenly spread (nginx's smooth weighted round robin).

    An endpoint of weight 0 gets calls only when there is no other.
    """

    def __init__(self) -> None:
        self._credit: dict[Key, float] = {}

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """All earn their weight; the richest pays the sum."""
        left = untried(endpoints, tried)
        heavy = [each for each in left if each.weight > 0]
        chosen: Endpoint | None = None
        most = float("-inf")
        total = 0.0
        credit = self._credit
        for each in heavy or left:
            weight = each.weight if heavy else 1.0
            total += weight
            earned = credit[each.model, each.address] = credit.get((each.model, each.address), 0.0) + weight
            if earned > most:
                chosen, most = each, earned
        if chosen is not None:
            credit[chosen.model, chosen.address] -= total
        return chosen

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """Takes no notice."""

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Forget the others."""
        for key in gone_keys(self._credit.keys(), model, endpoints):
            del self._credit[key]


class LeastOutstanding:
    """The one with the fewest calls under way for its weight; equal ones by lot.

    Args:
        randomness: draws among equals.
    """

    def __init__(self, randomness: random.Random) -> None:
        self._random = randomness
        self._outstanding: dict[Key, int] = {}

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """Looks at all."""
        left = untried(endpoints, tried)
        best: list[Endpoint] = []
        lowest = float("inf")
        for each in left:
            cost = (self._outstanding.get((each.model, each.address), 0) + 1) / max(each.weight, 1e-9)
            if cost < lowest:
                best, lowest = [each], cost
            elif cost == lowest:
                best.append(each)
        if not best:
            return None
        chosen = best[int(self._random.random() * len(best))]
        key = (chosen.model, chosen.address)
        self._outstanding[key] = self._outstanding.get(key, 0) + 1
        return chosen

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002
        """One less."""
        key = (endpoint.model, endpoint.address)
        if key in self._outstanding:
            self._outstanding[key] = max(self._outstanding[key] - 1, 0)

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Forget the others."""
        for key in gone_keys(self._outstanding.keys(), model, endpoints):
            del self._outstanding[key]
