"""How long one attempt may take: bounded by what its server, or the model's servers together, needed lately.

A server that hangs then costs a call one such slice and no more; one that is only slow now and then is not given up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from model_plugins.balancing.latency import Latencies
from model_plugins.balancing.protocol import Key, gone_keys
from model_plugins.discovery.instances import Endpoint

FLOOR_S = 0.25
"""No attempt is given up sooner: a collection of garbage, a model that warms up."""
_TIMES_P99 = 4.0
_TIMES_BEST = 16.0
"""Nor later than so many times the p99 of the model's quickest server, whatever the slow one has taught us."""
_LOOK_AGAIN_AFTER = 64
"""Answers of a model after which its quickest server is looked for again."""
_ENOUGH = 20
"""Samples before a history counts."""
_HEDGE_AT = 0.95
_HEDGE_ENOUGH = 100


class Patience:
    """The latencies of one client's calls.

    Args:
        floor: seconds that each attempt has at least.
    """

    def __init__(self, floor: float = FLOOR_S) -> None:
        self._floor = floor
        self._endpoints: dict[Key, Latencies] = {}
        self._models: dict[str, Latencies] = {}
        self._best: dict[str, tuple[int, float]] = {}  # model -> answers when it was looked for, seconds

    def answered(self, endpoint: Endpoint, seconds: float) -> None:
        """An attempt was answered after `seconds`."""
        for latencies in self._both(endpoint):
            latencies.add(seconds)

    def gave_up(self, endpoint: Endpoint, seconds: float) -> None:
        """It was not: the answer would have taken longer, so that the next attempts get more time if this goes on."""
        for latencies in self._both(endpoint):
            latencies.add(2.0 * seconds)

    def seconds(self, endpoint: Endpoint, left: float, times_out: int) -> float:
        """For one attempt that others may follow: four times the server's p99 (and no more than sixteen times the
        quickest one's), twice that after each time-out of the same call, never more than half of the `left` seconds;
        half of them while there is no history."""
        own, model = self._both(endpoint)
        known = own if own.count >= _ENOUGH else model
        if known.count < _ENOUGH:
            return left / 2
        usual = min(_TIMES_P99 * known.quantile(0.99), _TIMES_BEST * self._quickest(endpoint.model, model))
        usual = max(self._floor, usual)
        return float(min(usual * 2.0**times_out, left / 2))

    def hedge_after(self, model: str) -> float | None:
        """The model's p95 over all its servers; None while too little is known."""
        known = self._models.get(model)
        return known.quantile(_HEDGE_AT) if known is not None and known.count >= _HEDGE_ENOUGH else None

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """Forget the others."""
        for key in gone_keys(self._endpoints.keys(), model, endpoints):
            del self._endpoints[key]

    def _quickest(self, name: str, model: Latencies) -> float:
        """The lowest p99 of the model's servers, seconds; infinity while none has a history."""
        seen, best = self._best.get(name, (-_LOOK_AGAIN_AFTER, math.inf))
        if model.count - seen >= _LOOK_AGAIN_AFTER:
            known = [each for key, each in self._endpoints.items() if key[0] == name and each.count >= _ENOUGH]
            best = min((each.quantile(0.99) for each in known), default=math.inf)
            self._best[name] = (model.count, best)
        return best

    def _both(self, endpoint: Endpoint) -> tuple[Latencies, Latencies]:
        key = (endpoint.model, endpoint.address)
        own = self._endpoints.get(key)
        if own is None:
            own = self._endpoints[key] = Latencies()
        model = self._models.get(endpoint.model)
        if model is None:
            model = self._models[endpoint.model] = Latencies()
        return own, model
