"""Power of d choices over peak-EWMA latency x outstanding calls: the default.

The estimate is Finagle's (twitter/finagle, `PeakEwma`): it jumps to a latency above it at once and decays towards one
below it by a time constant, also while nothing is asked, so that a server which was slow is tried again. The choice
is Mitzenmacher's ("The Power of Two Choices in Randomized Load Balancing", 2001) with d of them. Envoy's
`least_request` exposes d as `choice_count`. Two leave 4 % of the calls on slow servers when every fifth one is slow,
whatever the estimates; sixteen leave none, and still look at sixteen servers of a thousand (`benchmarks/balancing.py`
has the figures).
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence

from model_plugins.balancing.protocol import Clock, Key, gone_keys, untried
from model_plugins.call_errors import failure_kind, is_servers_fault
from model_plugins.discovery.instances import Endpoint

DECAY_S = 10.0
CHOICES = 16
_UNSEEN_BUSY = 1e6
"""Cost of an outstanding call of a server that has never answered: try it once, then wait for what it says."""
_WORST_FAILURE_S = 1.0


class _Load:
    __slots__ = ("latency", "outstanding", "stamp")

    def __init__(self, now: float) -> None:
        self.latency = 0.0
        self.stamp = now
        self.outstanding = 0


class PeakEwma:
    """Args:
    clock: monotonic seconds.
    randomness: draws the candidates.
    choices: how many are compared for each call; two is the textbook's.
    decay: time constant of the estimate, seconds.
    """

    def __init__(self, clock: Clock, randomness: random.Random, choices: int = CHOICES, decay: float = DECAY_S) -> None:
        if choices < 2 or decay <= 0:
            raise ValueError(f"choices must be at least 2 and decay above 0, not {choices} and {decay}")
        self._clock = clock
        self._random = randomness.random
        self._choices = choices
        self._decay = decay
        self._loads: dict[Key, _Load] = {}

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """The cheapest of `choices` endpoints drawn at random (with replacement when there are more)."""
        left = untried(endpoints, tried)
        count = len(left)
        if not count:
            return None
        now = self._clock()
        draw = self._random
        if count <= self._choices:
            start = int(draw() * count)  # equal ones take turns
            drawn = [*left[start:], *left[:start]]
        else:
            drawn = [left[int(draw() * count)] for _ in range(self._choices)]
        best, best_load, lowest = None, None, math.inf
        for endpoint in drawn:
            load = self._load(endpoint, now)
            cost = self._cost(load, now) / max(endpoint.weight, 1e-9)
            if cost < lowest:
                best, best_load, lowest = endpoint, load, cost
        if best_load is not None:
            best_load.outstanding += 1
        return best

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """A failure never makes a server look fast: a quick one doubles the estimate, up to a second.

        A refused connection is the quickest of all, and is taken for that second at once: where half the servers are
        ejected already, nothing else would keep calls from one that is gone.
        """
        load = self._loads.get((endpoint.model, endpoint.address))
        if load is None:
            return
        load.outstanding = max(load.outstanding - 1, 0)
        now = self._clock()
        kind = failure_kind(error)
        if kind is None:
            self._observe(load, seconds, now)
        elif kind in ("timeout", "cancelled"):
            if seconds > load.latency:
                self._observe(load, seconds, now)  # it would have taken longer still
        elif kind == "gone":
            self._observe(load, max(seconds, load.latency, _WORST_FAILURE_S), now)
        elif is_servers_fault(kind) or kind == "overloaded":
            doubled = min(2 * load.latency, max(load.latency, _WORST_FAILURE_S))
            self._observe(load, max(seconds, doubled), now)

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Forget the others."""
        for key in gone_keys(self._loads.keys(), model, endpoints):
            del self._loads[key]

    def latency(self, endpoint: Endpoint) -> float:
        """The estimate for it now, seconds; 0 when it has not answered yet."""
        load = self._loads.get((endpoint.model, endpoint.address))
        return 0.0 if load is None else load.latency * math.exp((load.stamp - self._clock()) / self._decay)

    def _load(self, endpoint: Endpoint, now: float) -> _Load:
        key = (endpoint.model, endpoint.address)
        found = self._loads.get(key)
        if found is None:
            found = self._loads[key] = _Load(now)
        return found

    def _cost(self, load: _Load, now: float) -> float:
        if load.latency == 0.0:
            return load.outstanding * _UNSEEN_BUSY
        return load.latency * math.exp((load.stamp - now) / self._decay) * (load.outstanding + 1)

    def _observe(self, load: _Load, seconds: float, now: float) -> None:
        kept = math.exp((load.stamp - now) / self._decay)
        load.stamp = now
        # a peak counts whole; and the very first answer is all that is known
        if seconds >= load.latency or load.latency == 0.0:
            load.latency = max(seconds, 1e-9)
        else:
            load.latency = load.latency * kept + seconds * (1.0 - kept)
