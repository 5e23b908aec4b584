"""Readings as Prometheus metric families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from model_plugins.metrics import recorder as of
from model_plugins.metrics.histograms import ROWS, SECONDS
from model_plugins.metrics.recorder import Readings, Series, combined


class Source(NamedTuple):
    """One operator's readings, and how they are labelled."""

    job: str
    kind: str
    readings: Readings
    plugins_of: Callable[[str], str]


_OPERATOR = ("job", "kind")
_CALL = (*_OPERATOR, "plugin", "model", "version", "endpoint")
_ENDPOINT = (*_OPERATOR, "plugin", "model", "endpoint")
_BATCH = (*_OPERATOR, "plugin", "model", "version")
_RUN = (*_OPERATOR, "plugin", "version")


def families(sources: Sequence[Source]) -> Iterator[Metric]:
    """All metrics of a worker. Operators of one job and kind are one series: a process may hold several."""
    sources = _united(sources)
    yield from _calls(sources)
    yield from _endpoints(sources)
    yield from _batches(sources)
    yield from _plugins(sources)


def _calls(sources: Sequence[Source]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "sosie_model_calls", "Attempts to call a model, by how they ended.", labels=(*_CALL, "result")
    )
    rows = CounterMetricFamily("sosie_model_rows", "Rows sent to a model.", labels=_CALL)
    seconds = HistogramMetricFamily("sosie_model_call_seconds", "How long attempts took.", labels=_CALL)
    for source, key, values in _each(sources, "calls"):
        labels = [source.job, source.kind, source.plugins_of(key.name), key.name, key.version, key.endpoint]
        for result, count in zip(of.RESULTS, values, strict=False):
            calls.add_metric([*labels, result], count)
        rows.add_metric(labels, values[of.CALL_ROWS])
        seconds.add_metric(labels, _buckets(SECONDS, values[of.CALL_BUCKETS :]), values[of.CALL_SECONDS])
    yield from (calls, rows, seconds)


def _endpoints(sources: Sequence[Source]) -> Iterator[Metric]:
    retries = CounterMetricFamily("sosie_model_retries", "Calls that went on to another attempt.", labels=_ENDPOINT)
    hedges = CounterMetricFamily("sosie_model_hedges", "Second attempts beside a slow one.", labels=_ENDPOINT)
    ejections = CounterMetricFamily(
        "sosie_model_ejections", "Endpoints taken out of the balancing.", labels=(*_ENDPOINT, "reason")
    )
    readmitted = CounterMetricFamily("sosie_model_readmissions", "Endpoints taken back in.", labels=_ENDPOINT)
    out = GaugeMetricFamily("sosie_model_endpoint_ejected", "1 while an endpoint gets no calls.", labels=_ENDPOINT)
    flying = GaugeMetricFamily("sosie_model_calls_in_flight", "Attempts without an answer yet.", labels=_ENDPOINT)
    for source, key, values in _each(sources, "endpoints"):
        labels = [source.job, source.kind, source.plugins_of(key.name), key.name, key.endpoint]
        retries.add_metric(labels, values[of.ENDPOINT_RETRIES])
        hedges.add_metric(labels, values[of.ENDPOINT_HEDGES])
        readmitted.add_metric(labels, values[of.ENDPOINT_READMITTED])
        for reason, count in zip(of.REASONS, values[of.ENDPOINT_EJECTED :], strict=True):
            ejections.add_metric([*labels, reason], count)
        out.add_metric(labels, float((key.name, key.endpoint) in source.readings.ejected))
    for source in sources:
        called = {(key.name, key.endpoint): 0 for key in source.readings.totals if key.table == "calls"}
        for (model, endpoint), count in sorted({**called, **source.readings.in_flight}.items()):
            flying.add_metric([source.job, source.kind, source.plugins_of(model), model, endpoint], count)
    yield from (retries, hedges, ejections, readmitted, out, flying)


def _batches(sources: Sequence[Source]) -> Iterator[Metric]:
    rows = HistogramMetricFamily("sosie_model_batch_rows", "Rows of the batches that were formed.", labels=_BATCH)
    waited = CounterMetricFamily(
        "sosie_model_batch_wait_seconds", "Time that the oldest rows of batches waited.", labels=_BATCH
    )
    queued = GaugeMetricFamily("sosie_model_queue_rows", "Rows that stayed behind the last batch.", labels=_BATCH)
    for source, key, values in _each(sources, "batches"):
        labels = [source.job, source.kind, source.plugins_of(key.name), key.name, key.version]
        rows.add_metric(labels, _buckets(ROWS, values[of.BATCH_BUCKETS :]), values[of.BATCH_ROWS])
        waited.add_metric(labels, values[of.BATCH_WAITED])
        queued.add_metric(labels, source.readings.queued.get((key.name, key.version), 0))
    yield from (rows, waited, queued)


def _plugins(sources: Sequence[Source]) -> Iterator[Metric]:
    runs = CounterMetricFamily("sosie_plugin_runs", "Media, by how the plug-in ended.", labels=(*_RUN, "result"))
    seconds = HistogramMetricFamily("sosie_plugin_seconds", "Time a medium took, model calls included.", labels=_RUN)
    cache = CounterMetricFamily("sosie_plugin_cache", "Features looked up by content hash.", labels=(*_RUN, "result"))
    for source, key, values in _each(sources, "plugins"):
        labels = [source.job, source.kind, key.name, key.version]
        for result, count in zip(of.RUN_RESULTS, values, strict=False):
            runs.add_metric([*labels, result], count)
        seconds.add_metric(labels, _buckets(SECONDS, values[of.RUN_BUCKETS :]), values[of.RUN_SECONDS])
        cache.add_metric([*labels, "hit"], values[of.RUN_HITS])
        cache.add_metric([*labels, "miss"], values[of.RUN_MISSES])
    yield from (runs, seconds, cache)


def _united(sources: Sequence[Source]) -> list[Source]:
    found: dict[tuple[str, str], Source] = {}
    for source in sources:
        known = found.get((source.job, source.kind))
        if known is not None:
            source = source._replace(readings=combined(known.readings, source.readings))  # noqa: PLW2901
        found[source.job, source.kind] = source
    return list(found.values())


def _each(sources: Iterable[Source], table: of.Table) -> Iterator[tuple[Source, Series, tuple[float, ...]]]:
    for source in sources:
        for key, values in sorted(source.readings.totals.items()):
            if key.table == table:
                yield source, key, values


def _buckets(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    """Prometheus counts cumulatively, and calls the last bound `+Inf`."""
    return list(zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True))
