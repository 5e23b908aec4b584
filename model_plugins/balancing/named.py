"""Strategies by name, as a job chooses them for each plug-in."""

from __future__ import annotations

import difflib
import random
import time
from collections.abc import Callable

from materials.errors import UsageError
from model_plugins.balancing.peak_ewma import PeakEwma
from model_plugins.balancing.protocol import Balancer, Clock
from model_plugins.balancing.strategies import LeastOutstanding, RoundRobin, Weighted
from model_plugins.balancing.zone_aware import ZoneAware

DEFAULT = "p2c-ewma"
_Make = Callable[[Clock, random.Random, str], Balancer]

_STRATEGIES: dict[str, _Make] = {
    DEFAULT: lambda clock, randomness, _zone: PeakEwma(clock, randomness),
    "least-outstanding": lambda _clock, randomness, _zone: LeastOutstanding(randomness),
    "round-robin": lambda _clock, _randomness, _zone: RoundRobin(),
    "weighted": lambda _clock, _randomness, _zone: Weighted(),
    "zone-aware": lambda clock, randomness, zone: ZoneAware(PeakEwma(clock, randomness), zone, randomness),
}
NAMES = tuple(_STRATEGIES)


def by_name(
    name: str = DEFAULT,
    *,
    clock: Clock = time.monotonic,
    randomness: random.Random | None = None,
    zone: str = "",
) -> Balancer:
    """A new strategy.

    Args:
        name: one of `NAMES`; empty for the default.
        clock: monotonic seconds.
        randomness: default: seeded by the system.
        zone: the caller's, for `zone-aware`.

    Raises:
        UsageError: there is no such strategy.
    """
    make = _STRATEGIES.get(name or DEFAULT)
    if make is None:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"no balancing strategy is called {name!r}", f"{remedy}known: {', '.join(NAMES)}")
    return make(clock, randomness or random.Random(), zone)
