"""Which endpoints of one model are in health, and when the others may come back.

Passive: consecutive failures, and a success rate far below the others' (Envoy's outlier detection). An ejected
endpoint gets no calls until a probe, which is no call of a caller's, was answered after its time; then its share
ramps up. Never more than half are ejected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import structlog

from model_plugins.balancing.protocol import Clock
from model_plugins.balancing.settings import Settings
from model_plugins.call_errors import is_servers_fault
from model_plugins.discovery.instances import Endpoint
from model_plugins.observing import CallObserver, FailureKind

log = structlog.get_logger(__name__)


class Member:
    """One endpoint's figures."""

    __slots__ = (
        "answered",
        "avoid_until",
        "ejected",
        "ejected_until",
        "ejections",
        "endpoint",
        "failed",
        "failures",
        "outstanding",
        "probing",
        "ramp_from",
        "readmitted",
        "stamp",
    )

    def __init__(self, endpoint: Endpoint, now: float, ramp_from: float) -> None:
        self.endpoint = endpoint
        self.outstanding = 0
        self.failures = 0  # in a row
        self.answered = 0.0  # decaying counts
        self.failed = 0.0
        self.stamp = now
        self.ejected = False
        self.ejected_until = -math.inf
        self.ejections = 0
        self.probing = False
        self.readmitted = False  # out of an ejection, and still in its slow start
        self.ramp_from = ramp_from
        self.avoid_until = -math.inf


class Ejector:
    """The endpoints of one model.

    Args:
        model: its name.
        settings: see there.
        clock: monotonic seconds.
        observer: hears of ejections and readmissions.
    """

    def __init__(self, model: str, settings: Settings, clock: Clock, observer: CallObserver) -> None:
        self._model = model
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self.members: dict[str, Member] = {}
        self.ejected = 0

    def keep(self, endpoints: Sequence[Endpoint]) -> None:
        """These are all; those that join later than the first ones start slowly."""
        now = self._clock()
        first = not self.members
        alive = {each.address: each for each in endpoints}
        for address in [each for each in self.members if each not in alive]:
            self.ejected -= self.members.pop(address).ejected
        for address, endpoint in alive.items():
            member = self.members.get(address)
            if member is None:
                self.members[address] = Member(endpoint, now, -math.inf if first else now)
            else:
                member.endpoint = endpoint
        over = self.ejected - self._most()
        if over > 0:  # the sound ones left: those that have waited longest come back unasked
            out = sorted((each for each in self.members.values() if each.ejected), key=lambda each: each.ejected_until)
            for member in out[:over]:
                self._readmit(member, now)

    def ended(self, member: Member, kind: FailureKind | None) -> None:
        """An attempt ended; what ends late at an ejected endpoint says nothing new."""
        if member.ejected or kind == "cancelled":
            return
        now = self._clock()
        self._decay(member, now)
        if not is_servers_fault(kind):
            member.failures = 0
            member.answered += 1.0
            return
        member.failures += 1
        member.failed += 1.0
        limit = self._settings.consecutive_timeouts if kind == "timeout" else self._settings.consecutive_failures
        if kind == "gone" or (member.readmitted and self.ramp(member, now) < 1.0):
            limit = 1
        if member.failures >= limit:
            self._eject(member, "consecutive_failures", now)
        elif self._far_below_others(member, now):
            self._eject(member, "success_rate", now)

    def due(self) -> list[Endpoint]:
        """Ejected endpoints whose time is over and that no probe is under way for; each is now being probed."""
        now = self._clock()
        found = [each for each in self.members.values() if each.ejected and not each.probing]
        found = [each for each in found if each.ejected_until <= now]
        for member in found:
            member.probing = True
        return [member.endpoint for member in found]

    def next_due(self) -> float:
        """When the next probe is due, in the clock's time; infinity when none is."""
        waiting = [each.ejected_until for each in self.members.values() if each.ejected and not each.probing]
        return min(waiting, default=math.inf)

    def probed(self, address: str, ready: bool) -> None:
        """A probe has ended."""
        member = self.members.get(address)
        if member is None or not member.ejected:
            return
        member.probing = False
        now = self._clock()
        if ready:
            self._readmit(member, now)
            return
        member.ejected_until = now + self._settings.probe_every_s
        self._observer.ejected(self._model, address, self._settings.probe_every_s, "probe_failed")

    def in_panic(self, endpoints: Iterable[Endpoint]) -> bool:
        """Whether so few of these are in health that the cause is hardly theirs, and all are used."""
        count = sound = 0
        for endpoint in endpoints:
            member = self.members[endpoint.address]
            count += 1
            sound += not (member.ejected or member.failures >= self._settings.consecutive_failures)
        return sound < self._settings.panic_below * count

    def ramp(self, member: Member, now: float) -> float:
        """The share of its calls that an endpoint gets, 0..1: below 1 in its slow start."""
        age = now - member.ramp_from
        if age >= self._settings.slow_start_s:
            return 1.0
        return max(self._settings.slow_start_from, age / self._settings.slow_start_s)

    def _most(self) -> int:
        return int(self._settings.most_ejected * len(self.members))

    def _decay(self, member: Member, now: float) -> None:
        kept = math.exp((member.stamp - now) / self._settings.success_window_s)
        member.answered *= kept
        member.failed *= kept
        member.stamp = now

    def _far_below_others(self, member: Member, now: float) -> bool:
        """Its success rate against the others' together, with three standard errors for chance."""
        own = member.answered + member.failed
        if own < self._settings.success_volume:
            return False
        answered = failed = 0.0
        for other in self.members.values():
            if other is not member and not other.ejected:
                self._decay(other, now)
                answered += other.answered
                failed += other.failed
        others = answered + failed
        if others < self._settings.success_volume:
            return False
        rate = answered / others
        pooled = (answered + member.answered) / (others + own)
        chance = 3.0 * math.sqrt(pooled * (1.0 - pooled) * (1.0 / own + 1.0 / others))
        return member.answered / own < rate - max(self._settings.success_margin, chance)

    def _eject(self, member: Member, reason: str, now: float) -> None:
        if self.ejected + 1 > self._most():
            return
        calm = int((now - member.ramp_from) / self._settings.forgive_s) if member.ramp_from > -math.inf else 0
        member.ejections = max(0, member.ejections - calm)
        seconds = min(self._settings.longest_ejection_s, self._settings.ejection_s * 2.0**member.ejections)
        member.ejections += 1
        member.ejected = True
        member.probing = False
        member.ejected_until = now + seconds
        self.ejected += 1
        address = member.endpoint.address
        log.warning("endpoint_ejected", model=self._model, endpoint=address, seconds=seconds, reason=reason)
        self._observer.ejected(self._model, address, seconds, reason)

    def _readmit(self, member: Member, now: float) -> None:
        member.ejected = False
        member.probing = False
        member.readmitted = True
        member.ramp_from = now
        member.failures = 0
        member.answered = member.failed = 0.0
        self.ejected -= 1
        log.info("endpoint_readmitted", model=self._model, endpoint=member.endpoint.address)
        self._observer.readmitted(self._model, member.endpoint.address)
