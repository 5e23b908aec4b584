"""The last minutes as rows: what a worker answers under `/recent.json`, and how rows of many workers become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from model_plugins.metrics import recorder as of
from model_plugins.metrics.histograms import SECONDS, quantile
from model_plugins.metrics.recorder import Readings


class CallRow(msgspec.Struct, kw_only=True):
    """Calls of one model version on one endpoint within the window.

    `plugin`: the names of those that call the model, joined by commas. `failures`: by `FailureKind`, without
    `cancelled` ones, which `cancelled` counts: an answer was not needed. `buckets`: latencies by `histograms.SECONDS`.
    `retries`, `hedges` and `ejections` are of the endpoint, and stand with each of its versions.
    """

    plugin: str
    model: str
    version: str
    endpoint: str
    calls: int = 0
    ok: int = 0
    cancelled: int = 0
    failures: dict[str, int] = {}
    rows: int = 0
    seconds: float = 0.0
    buckets: list[int] = []
    in_flight: int = 0
    queued: int = 0
    retries: int = 0
    hedges: int = 0
    ejections: int = 0
    ejected: bool = False

    @property
    def success_rate(self) -> float | None:
        """Of the calls whose answer was wanted; None without any."""
        wanted = self.calls - self.cancelled
        return self.ok / wanted if wanted else None

    @property
    def mean_batch(self) -> float | None:
        """Rows a call; None without any."""
        return self.rows / self.calls if self.calls else None

    def latency(self, share: float) -> float | None:
        """A quantile in seconds."""
        return quantile(self.buckets, SECONDS, share)


class PluginRow(msgspec.Struct, kw_only=True):
    """Runs of one plug-in version within the window. `results`: by `RunResult`."""

    plugin: str
    version: str
    runs: int = 0
    results: dict[str, int] = {}
    cache_hits: int = 0
    cache_misses: int = 0
    seconds: float = 0.0
    buckets: list[int] = []

    @property
    def success_rate(self) -> float | None:
        """Runs that did not fail of themselves; bad input is not the plug-in's fault. None without any."""
        return 1 - self.results.get("failed", 0) / self.runs if self.runs else None

    def latency(self, share: float) -> float | None:
        """A quantile in seconds."""
        return quantile(self.buckets, SECONDS, share)


Row = TypeVar("Row", CallRow, PluginRow)


class Recent(msgspec.Struct, kw_only=True):
    """The last `window_s` seconds of one worker or of many."""

    window_s: float = 0.0
    calls: list[CallRow] = []
    plugins: list[PluginRow] = []


def rows_of(readings: Readings, window_s: float, plugins_of: Callable[[str], str]) -> Recent:
    """A worker's readings as rows. `plugins_of`: model -> the names of the plug-ins that call it."""
    recent = Recent(window_s=window_s)
    endpoints = {(key.name, key.endpoint): each for key, each in readings.lately.items() if key.table == "endpoints"}
    for key, each in sorted(readings.lately.items()):
        if key.table == "calls":
            at = (key.name, key.endpoint)
            totals = endpoints.get(at, (0.0,) * of.WIDTHS["endpoints"])
            results = dict(zip(of.RESULTS, map(int, each), strict=False))
            recent.calls.append(
                CallRow(
                    plugin=plugins_of(key.name),
                    model=key.name,
                    version=key.version,
                    endpoint=key.endpoint,
                    calls=sum(results.values()),
                    ok=results.pop("ok"),
                    cancelled=results.pop("cancelled"),
                    failures={name: count for name, count in results.items() if count},
                    rows=int(each[of.CALL_ROWS]),
                    seconds=each[of.CALL_SECONDS],
                    buckets=[int(count) for count in each[of.CALL_BUCKETS :]],
                    in_flight=readings.in_flight.get(at, 0),
                    queued=readings.queued.get((key.name, key.version), readings.queued.get((key.name, ""), 0)),
                    retries=int(totals[of.ENDPOINT_RETRIES]),
                    hedges=int(totals[of.ENDPOINT_HEDGES]),
                    ejections=int(sum(totals[of.ENDPOINT_EJECTED :])),
                    ejected=at in readings.ejected,
                )
            )
        elif key.table == "plugins":
            runs = {name: int(count) for name, count in zip(of.RUN_RESULTS, each, strict=False) if count}
            recent.plugins.append(
                PluginRow(
                    plugin=key.name,
                    version=key.version,
                    runs=sum(runs.values()),
                    results=runs,
                    cache_hits=int(each[of.RUN_HITS]),
                    cache_misses=int(each[of.RUN_MISSES]),
                    seconds=each[of.RUN_SECONDS],
                    buckets=[int(count) for count in each[of.RUN_BUCKETS :]],
                )
            )
    return recent


def merge(parts: Iterable[Recent]) -> Recent:
    """One answer of many: rows about the same thing are added up, by name."""
    calls: dict[tuple[str, ...], CallRow] = {}
    plugins: dict[tuple[str, str], PluginRow] = {}
    window_s = 0.0
    for part in parts:
        window_s = max(window_s, part.window_s)
        for call in part.calls:
            key = (call.model, call.version, call.endpoint)
            known = calls.get(key)
            calls[key] = call if known is None else _added(known, call)
        for run in part.plugins:
            seen = plugins.get((run.plugin, run.version))
            plugins[run.plugin, run.version] = run if seen is None else _added(seen, run)
    return Recent(
        window_s=window_s,
        calls=[calls[key] for key in sorted(calls)],
        plugins=[plugins[key] for key in sorted(plugins)],
    )


def _added(one: Row, other: Row) -> Row:
    """Field by field: numbers are added, lists position by position, dictionaries by key, truths by `or`; of texts
    the plug-ins' names are united, and the rest is equal."""
    changes: dict[str, Any] = {}
    for field in one.__struct_fields__:
        a: Any = getattr(one, field)
        b: Any = getattr(other, field)
        if isinstance(a, bool):
            changes[field] = a or b
        elif isinstance(a, int | float):
            changes[field] = a + b
        elif isinstance(a, list):
            changes[field] = [x + y for x, y in zip(a, b, strict=True)] if a and b else a or b
        elif isinstance(a, dict):
            changes[field] = {key: a.get(key, 0) + b.get(key, 0) for key in sorted({*a, *b})}
        elif field == "plugin":
            changes[field] = ",".join(sorted({*a.split(","), *b.split(",")} - {""}))
    return msgspec.structs.replace(one, **changes)
