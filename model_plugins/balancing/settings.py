"""The figures of ejection, probes, slow start, panic and caps."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults are Envoy's outlier detection where it has them, but for times: a model service is no web page.

    Attributes:
        consecutive_failures: server errors in a row that eject; a refused connection ejects at once.
        consecutive_timeouts: the same once the last of them is a time-out. Each has cost a caller several times the
            usual latency, and a probe brings a server that does not hang back in half a second.
        success_margin: an endpoint whose success rate is this far below the others' is ejected, given the volume.
        success_window_s: time constant over which success rates are taken.
        success_volume: calls within the window before a success rate counts.
        most_ejected: share of a model's endpoints that can be ejected at a time.
        ejection_s: the first ejection's time; each further one lasts twice as long.
        longest_ejection_s: no ejection is longer.
        forgive_s: after so many seconds in good health the next ejection is a step shorter again.
        probe_every_s: between two probes of an endpoint that did not answer the first one.
        slow_start_s: an endpoint that is readmitted, or joins, reaches its full share after this time.
        slow_start_from: the share that it begins with.
        panic_below: share of endpoints in health below which ejection is ignored and all are used.
        cap: calls in flight to one endpoint.
    """

    consecutive_failures: int = 5
    consecutive_timeouts: int = 2
    success_margin: float = 0.2
    success_window_s: float = 10.0
    success_volume: float = 20.0
    most_ejected: float = 0.5
    ejection_s: float = 0.5
    longest_ejection_s: float = 30.0
    forgive_s: float = 30.0
    probe_every_s: float = 0.5
    slow_start_s: float = 10.0
    slow_start_from: float = 0.1
    panic_below: float = 0.5
    cap: int = 64
