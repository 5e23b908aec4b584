"""What every strategy is wrapped in: ejection, slow start, panic, caps, and a short rest for full servers.

A strategy is shown only endpoints that may take the call, so that none of this is part of any strategy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence

from materials.errors import Overloaded
from model_plugins.balancing.ejection import Ejector, Member
from model_plugins.balancing.protocol import Balancer, Clock
from model_plugins.balancing.settings import Settings
from model_plugins.call_errors import ModelUnknown, failure_kind
from model_plugins.discovery.instances import Endpoint
from model_plugins.observing import CallObserver, Silent

_UNKNOWN_MODEL_REST_S = 1.0


class Guard:
    """A strategy over the endpoints in health; itself a `Balancer`.

    Args:
        strategy: chooses among those that are left.
        clock: monotonic seconds.
        randomness: thins out the calls of a slow start.
        settings: the figures.
        observer: hears of ejections and readmissions.
    """

    def __init__(
        self,
        strategy: Balancer,
        clock: Clock,
        randomness: random.Random,
        settings: Settings | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        self._strategy = strategy
        self._clock = clock
        self._random = randomness.random
        self._settings = settings or Settings()
        self._observer = observer or Silent()
        self._models: dict[str, Ejector] = {}
        self._lists: dict[str, Sequence[Endpoint]] = {}
        self._watchful_until = -math.inf  # some endpoint rests or ramps until then
        self._full = 0  # endpoints at their cap

    def pick(self, endpoints: Sequence[Endpoint], tried: Collection[str] = ()) -> Endpoint | None:
        """An endpoint that may take a call; None when there is none, or none that was not tried."""
        if not endpoints:
            return None
        model = self._model(endpoints)
        if not tried and not model.ejected and not self._full and self._clock() >= self._watchful_until:
            chosen = self._strategy.pick(endpoints)
        else:
            chosen = self._strategy.pick(self._open(model, endpoints, tried))
        if chosen is not None:
            member = model.members[chosen.address]
            member.outstanding += 1
            self._full += member.outstanding == self._settings.cap
        return chosen

    def done(self, endpoint: Endpoint, seconds: float, error: BaseException | None) -> None:
        """Learns from how it ended; see `call_errors` for what each error says of a server."""
        self._strategy.done(endpoint, seconds, error)
        model = self._models.get(endpoint.model)
        member = model.members.get(endpoint.address) if model else None
        if model is None or member is None:
            return
        if member.outstanding:
            self._full -= member.outstanding == self._settings.cap
            member.outstanding -= 1
        if isinstance(error, Overloaded):
            self._rest(member, error.retry_after)
        elif isinstance(error, ModelUnknown):
            self._rest(member, _UNKNOWN_MODEL_REST_S)
        model.ended(member, failure_kind(error))

    def keep(self, model: str, endpoints: Sequence[Endpoint]) -> None:
        """These are all endpoints of `model`; what is known of others is forgotten."""
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = Ejector(model, self._settings, self._clock, self._observer)
        elif found.members:
            self._watchful_until = max(self._watchful_until, self._clock() + self._settings.slow_start_s)
        found.keep(endpoints)
        self._full = sum(
            member.outstanding >= self._settings.cap
            for each in self._models.values()
            for member in each.members.values()
        )
        self._lists[model] = endpoints
        self._strategy.keep(model, endpoints)

    def due(self) -> list[Endpoint]:
        """Ejected endpoints that are to be probed now; answer each with `probed`."""
        return [endpoint for model in self._models.values() if model.ejected for endpoint in model.due()]

    def next_due(self) -> float:
        """When the next probe is due, in the clock's time; infinity when nobody is ejected."""
        return min((model.next_due() for model in self._models.values() if model.ejected), default=math.inf)

    def probed(self, endpoint: Endpoint, ready: bool) -> None:
        """A probe of `endpoint` has ended; when `ready`, it starts slowly."""
        model = self._models.get(endpoint.model)
        if model is not None:
            self._watchful_until = max(self._watchful_until, self._clock() + self._settings.slow_start_s)
            model.probed(endpoint.address, ready)
            if ready:  # what its latency was before it failed says nothing of what it is now
                known = self._lists[endpoint.model]
                self._strategy.keep(endpoint.model, [each for each in known if each.address != endpoint.address])
                self._strategy.keep(endpoint.model, known)

    def ejected(self, model: str) -> frozenset[str]:
        """Addresses that get no calls now."""
        found = self._models.get(model)
        return frozenset(each for each, member in found.members.items() if member.ejected) if found else frozenset()

    def is_saturated(self, endpoints: Sequence[Endpoint]) -> bool:
        """Whether all of them are at their cap of calls in flight."""
        if not self._full or not endpoints:
            return False
        members = self._model(endpoints).members
        return all(members[each.address].outstanding >= self._settings.cap for each in endpoints)

    def _model(self, endpoints: Sequence[Endpoint]) -> Ejector:
        """The figures of these endpoints' model; a list without a `keep` before it is taken as all there are."""
        name = endpoints[0].model
        model = self._models.get(name)
        if model is None or (
            self._lists[name] is not endpoints and any(e.address not in model.members for e in endpoints)
        ):
            self.keep(name, endpoints)
            model = self._models[name]
        return model

    def _open(self, model: Ejector, endpoints: Sequence[Endpoint], tried: Collection[str]) -> Sequence[Endpoint]:
        """Those that may take a call now."""
        members = model.members
        cap = self._settings.cap
        left = [e for e in endpoints if e.address not in tried and members[e.address].outstanding < cap]
        if not left or (model.ejected and model.in_panic(endpoints)):
            return left
        sound = [each for each in left if not members[each.address].ejected]
        now = self._clock()
        rested = [each for each in sound if members[each.address].avoid_until <= now] or sound
        ramped = [each for each in rested if self._takes(model, members[each.address], now)]
        return ramped or rested

    def _takes(self, model: Ejector, member: Member, now: float) -> bool:
        share = model.ramp(member, now)
        return share >= 1.0 or self._random() < share

    def _rest(self, member: Member, seconds: float) -> None:
        member.avoid_until = self._clock() + seconds
        self._watchful_until = max(self._watchful_until, member.avoid_until)
