"""Prefers the caller's own zone, and spills over into the others as far as its own is short."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from model_plugins.balancing.protocol import Balancer, untried
from model_plugins.discovery.instances import Endpoint

SPARE = 1.4
"""A zone keeps all its calls while this many times its usable share reaches 1 (Envoy's overprovisioning factor)."""


class ZoneAware:
    """Of the calls, `min(1, 1.4 x usable weight / known weight)` of the own zone stay in it; the rest go elsewhere.

    What is usable is what `pick` is given: ejected, avoided and full endpoints are missing there. Without a zone of
    its own, or with no endpoint in it, this is the inner strategy.

    Args:
        inner: chooses within the zone, and outside.
        zone: the caller's.
        randomness: decides which calls spill.
    """

    def __init__(self, inner: Balancer, zone: str, randomness: random.Random) -> None:
        self._inner = inner
        self._zone = zone
        self._random = randomness.random
        self._capacity: dict[str, float] = {}  # weight of all that the own zone has, by model

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """In the own zone, or outside for the share that it cannot take."""
        left = untried(endpoints, tried)
        own = [each for each in left if each.zone == self._zone] if self._zone else []
        if not own or len(own) == len(left):
            return self._inner.pick(left)
        usable = sum(each.weight for each in endpoints if each.zone == self._zone)
        known = max(self._capacity.get(own[0].model, 0.0), usable)
        stays = SPARE * usable / known if known > 0 else 0.0
        if stays >= 1.0 or self._random() < stays:
            return self._inner.pick(own)
        return self._inner.pick([each for each in left if each.zone != self._zone])

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """The inner strategy learns."""
        self._inner.done(endpoint, seconds, error)

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Learn what the own zone could carry."""
        if endpoints:
            self._capacity[model] = sum(each.weight for each in endpoints if each.zone == self._zone)
        else:
            self._capacity.pop(model, None)
        self._inner.keep(model, endpoints)
