"""Counts what model calls and plug-ins tell. Each event costs about a microsecond and one uncontended lock."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from model_plugins.metrics.histograms import ROWS, SECONDS
from model_plugins.metrics.window import RollingWindow
from model_plugins.observing import Attempt, FailureKind

RunResult = Literal["ok", "nothing", "rejected", "failed"]
"""How a plug-in ends with one medium: a feature, none because it had nothing to say, bad input, or its own failure."""

FAILURES: tuple[str, ...] = get_args(FailureKind)
RESULTS: tuple[str, ...] = ("ok", *FAILURES)
RUN_RESULTS: tuple[str, ...] = get_args(RunResult)
REASONS = ("consecutive_failures", "success_rate", "probe_failed")
OTHER = "other"
"""Stands for all endpoints beyond the limit."""

Table = Literal["calls", "endpoints", "batches", "plugins"]
_RESULT = {result: position for position, result in enumerate(RESULTS)}
_REASON = {reason: position for position, reason in enumerate(REASONS)}
_RUN = {result: position for position, result in enumerate(RUN_RESULTS)}

# Where each number stands in the list of its table.
CALL_ROWS = len(RESULTS)
CALL_SECONDS = CALL_ROWS + 1
CALL_BUCKETS = CALL_SECONDS + 1
ENDPOINT_RETRIES, ENDPOINT_HEDGES, ENDPOINT_READMITTED, ENDPOINT_EJECTED = 0, 1, 2, 3
BATCH_ROWS, BATCH_WAITED, BATCH_BUCKETS = 0, 1, 2
RUN_HITS, RUN_MISSES, RUN_SECONDS, RUN_BUCKETS = (len(RUN_RESULTS) + each for each in range(4))
WIDTHS: dict[Table, int] = {
    "calls": CALL_BUCKETS + len(SECONDS) + 1,
    "endpoints": ENDPOINT_EJECTED + len(REASONS),
    "batches": BATCH_BUCKETS + len(ROWS) + 1,
    "plugins": RUN_BUCKETS + len(SECONDS) + 1,
}


class Series(NamedTuple):
    """What one list of numbers is about. calls: model, version, endpoint. endpoints: model, "", endpoint.
    batches: model, version, "". plugins: name, version, ""."""

    table: Table
    name: str
    version: str
    endpoint: str


class Readings(NamedTuple):
    """A copy: since the start and lately, by series; gauges by (model, endpoint) and by (model, version)."""

    totals: dict[Series, tuple[float, ...]]
    lately: dict[Series, tuple[float, ...]]
    in_flight: dict[tuple[str, str], int]
    ejected: frozenset[tuple[str, str]]
    queued: dict[tuple[str, str], int]


def combined(one: Readings, other: Readings) -> Readings:
    """Both together."""
    return Readings(
        _summed(one.totals, other.totals),
        _summed(one.lately, other.lately),
        {key: one.in_flight.get(key, 0) + other.in_flight.get(key, 0) for key in {**one.in_flight, **other.in_flight}},
        one.ejected | other.ejected,
        {key: one.queued.get(key, 0) + other.queued.get(key, 0) for key in {**one.queued, **other.queued}},
    )


def _summed(
    one: dict[Series, tuple[float, ...]], other: dict[Series, tuple[float, ...]]
) -> dict[Series, tuple[float, ...]]:
    both = {**one, **other}
    for key in one.keys() & other.keys():
        both[key] = tuple(a + b for a, b in zip(one[key], other[key], strict=True))
    return both


class Recorder:
    """A `CallObserver`, and the same for plug-ins. Thread-safe.

    Args:
        limit: series at most; further endpoints and versions are counted as `other`. A series that did not move for
            `idle` seconds is given up, so endpoints that went for good make room.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        limit: int = 512,
        idle: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
        window: RollingWindow[Series] | None = None,
    ) -> None:
        self._limit = limit
        self._idle = idle
        self._clock = clock
        self._window: RollingWindow[Series] = window or RollingWindow()
        self._lock = threading.Lock()
        self._series: dict[Series, list[float]] = {}
        self._moved: dict[Series, tuple[float, tuple[float, ...]]] = {}
        self._in_flight: dict[tuple[str, str], int] = {}
        self._ejected: set[tuple[str, str]] = set()
        self._queued: dict[tuple[str, str], int] = {}

    @property
    def window_seconds(self) -> float:
        """How far back `lately` looks."""
        return self._window.seconds

    # -- CallObserver

    def attempt_started(self, attempt: Attempt) -> None:
        """See `CallObserver`."""
        key = (attempt.model, attempt.endpoint)
        with self._lock:
            self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def attempt_ended(self, attempt: Attempt, seconds: float, failure: FailureKind | None, served: str) -> None:
        """See `CallObserver`."""
        model, endpoint = attempt.model, attempt.endpoint
        bucket = CALL_BUCKETS + bisect_left(SECONDS, seconds)
        with self._lock:
            left = self._in_flight.get((model, endpoint), 0) - 1
            if left > 0:
                self._in_flight[model, endpoint] = left
            else:
                self._in_flight.pop((model, endpoint), None)
            values = self._values("calls", model, served or attempt.version, endpoint)
            values[_RESULT[failure or "ok"]] += 1
            values[CALL_ROWS] += attempt.rows
            values[CALL_SECONDS] += seconds
            values[bucket] += 1

    def retried(self, model: str, endpoint: str, failure: FailureKind) -> None:  # noqa: ARG002 - stands in `calls`
        """See `CallObserver`."""
        self._add("endpoints", model, "", endpoint, ENDPOINT_RETRIES)

    def hedged(self, model: str, endpoint: str) -> None:
        """See `CallObserver`."""
        self._add("endpoints", model, "", endpoint, ENDPOINT_HEDGES)

    def ejected(self, model: str, endpoint: str, seconds: float, reason: str) -> None:  # noqa: ARG002 - no metric
        """See `CallObserver`."""
        self._add("endpoints", model, "", endpoint, ENDPOINT_EJECTED + _REASON.get(reason, 0))
        with self._lock:
            self._ejected.add((model, endpoint))

    def readmitted(self, model: str, endpoint: str) -> None:
        """See `CallObserver`."""
        self._add("endpoints", model, "", endpoint, ENDPOINT_READMITTED)
        with self._lock:
            self._ejected.discard((model, endpoint))

    def batch_formed(self, model: str, version: str, rows: int, waited: float, queued: int) -> None:
        """See `CallObserver`."""
        bucket = BATCH_BUCKETS + bisect_left(ROWS, rows)
        with self._lock:
            values = self._values("batches", model, version, "")
            values[BATCH_ROWS] += rows
            values[BATCH_WAITED] += waited
            values[bucket] += 1
            self._queued[model, version] = queued

    # -- the same for plug-ins

    def plugin_ran(self, plugin: str, seconds: float, result: RunResult) -> None:
        """A plug-in has ended with one medium. `plugin`: `name@version`; `seconds`: with its model's calls."""
        name, _, version = plugin.partition("@")
        bucket = RUN_BUCKETS + bisect_left(SECONDS, seconds)
        with self._lock:
            values = self._values("plugins", name, version, "")
            values[_RUN[result]] += 1
            values[RUN_SECONDS] += seconds
            values[bucket] += 1

    def plugin_cached(self, plugin: str, hit: bool) -> None:
        """A feature was looked up by content hash. `plugin`: `name@version`."""
        name, _, version = plugin.partition("@")
        self._add("plugins", name, version, "", RUN_HITS if hit else RUN_MISSES)

    # -- reading

    def read(self) -> Readings:
        """A consistent copy."""
        with self._lock:
            self._roll()
            now = self._clock()
            return Readings(
                {key: tuple(values) for key, values in self._series.items()},
                self._window.lately(now, self._series),
                dict(self._in_flight),
                frozenset(self._ejected),
                dict(self._queued),
            )

    def _add(self, table: Table, name: str, version: str, endpoint: str, position: int) -> None:
        with self._lock:
            self._values(table, name, version, endpoint)[position] += 1

    def _values(self, table: Table, name: str, version: str, endpoint: str) -> list[float]:
        """The numbers of a series; the lock is held, and the numbers are about to change."""
        if self._clock() >= self._window.next_slot:
            self._roll()
        values = self._series.get((table, name, version, endpoint))  # type: ignore[call-overload]
        if values is None:
            if len(self._series) >= self._limit:
                version, endpoint = version and OTHER, endpoint and OTHER
            values = self._series.setdefault(Series(table, name, version, endpoint), [0] * WIDTHS[table])
        return values  # type: ignore[no-any-return]

    def _roll(self) -> None:
        now = self._clock()
        if now < self._window.next_slot:
            return
        for key, values in list(self._series.items()):
            since, then = self._moved.get(key, (now, ()))
            state = tuple(values)
            if state != then:
                self._moved[key] = (now, state)
            elif now - since >= self._idle and (key.name, key.endpoint) not in self._in_flight:
                del self._series[key], self._moved[key]
                self._window.forget(key)
                self._ejected.discard((key.name, key.endpoint))
                self._queued.pop((key.name, key.version), None)
        self._window.roll(now, self._series)
