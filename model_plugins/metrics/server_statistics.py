"""The model servers' own statistics, asked for now and then beside the calls.

Triton's statistics extension, over gRPC (`ModelStatistics`) or HTTP (`/v2/models/stats`). MLServer has none: that is
remembered and shown as a metric, and asked again only after a while.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import grpc
import structlog
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from tritonclient.grpc import service_pb2, service_pb2_grpc

log = structlog.get_logger(__name__)

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy for the world outside is not for our own servers."""

_ASK_AGAIN = 300.0
"""Seconds before a server without statistics is asked once more: it may be another one by then."""

DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


class ModelStatistics(NamedTuple):
    """One model version on one server, since that server started.

    `requests`: inferences in Triton's sense are rows; `batches` its executions. `durations`: (count, seconds) by
    `DURATIONS`.
    """

    model: str
    version: str
    rows: int
    batches: int
    durations: dict[str, tuple[int, float]]


class Unsupported(Exception):
    """The server has no such extension."""


def ask(endpoint: str, timeout: float = 2.0) -> list[ModelStatistics]:
    """All models of one server; `endpoint` is `host:port` (gRPC) or `http://host:port`.

    Raises:
        Unsupported: it has no statistics.
        OSError: it does not answer.
    """
    return _ask_http(endpoint, timeout) if endpoint.startswith("http://") else _ask_grpc(endpoint, timeout)


class StatisticsPoller:
    """Asks the servers that were called, each `period` seconds, in a thread of its own; a scrape never waits.

    Args:
        endpoints: those to ask now.
    """

    def __init__(
        self,
        endpoints: Callable[[], Iterable[str]],
        period: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = endpoints
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, list[ModelStatistics] | None] = {}  # None: it has none
        self._ask_from: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="server-statistics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5.0)

    def poll(self) -> None:
        """Ask all servers that are due, once."""
        wanted = set(self._endpoints())
        now = self._clock()
        found: dict[str, list[ModelStatistics] | None] = {}
        for endpoint in sorted(wanted):
            if self._stop.is_set():
                return
            if self._ask_from.get(endpoint, now) > now:
                found[endpoint] = None
                continue
            try:
                found[endpoint] = ask(endpoint)
                self._ask_from.pop(endpoint, None)
            except Unsupported as error:
                log.info("server_has_no_statistics", endpoint=endpoint, answer=str(error))
                found[endpoint] = None
                self._ask_from[endpoint] = now + _ASK_AGAIN
            except (OSError, ValueError) as error:
                log.info("server_statistics_unavailable", endpoint=endpoint, error=str(error))
        with self._lock:
            self._known = found
        self._ask_from = {each: at for each, at in self._ask_from.items() if each in wanted}

    def families(self) -> Iterator[Metric]:
        """What was heard last."""
        with self._lock:
            known = dict(self._known)
        labels = ("endpoint", "model", "version")
        supported = GaugeMetricFamily(
            "sosie_server_statistics_supported", "0 for a server that keeps none (MLServer).", labels=["endpoint"]
        )
        rows = CounterMetricFamily("sosie_server_rows", "Rows inferred, as the server counts them.", labels=labels)
        batches = CounterMetricFamily("sosie_server_batches", "Executions of the model.", labels=labels)
        requests = CounterMetricFamily("sosie_server_requests", "Requests by stage.", labels=(*labels, "stage"))
        seconds = CounterMetricFamily("sosie_server_seconds", "Time spent by stage.", labels=(*labels, "stage"))
        for endpoint, models in sorted(known.items()):
            supported.add_metric([endpoint], float(models is not None))
            for each in models or ():
                about = [endpoint, each.model, each.version]
                rows.add_metric(about, each.rows)
                batches.add_metric(about, each.batches)
                for stage, (count, total) in each.durations.items():
                    requests.add_metric([*about, stage], count)
                    seconds.add_metric([*about, stage], total)
        yield from (supported, rows, batches, requests, seconds)

    def _work(self) -> None:
        while not self._stop.wait(self._period):
            self.poll()


def _ask_grpc(endpoint: str, timeout: float) -> list[ModelStatistics]:
    with grpc.insecure_channel(endpoint) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise Unsupported(error.details()) from error
            raise ConnectionError(f"{error.code().name}: {error.details()}") from error
    return [
        ModelStatistics(
            each.name,
            each.version,
            each.inference_count,
            each.execution_count,
            {
                stage: (getattr(each.inference_stats, stage).count, getattr(each.inference_stats, stage).ns / 1e9)
                for stage in DURATIONS
            },
        )
        for each in answer.model_stats
    ]


def _ask_http(endpoint: str, timeout: float) -> list[ModelStatistics]:
    try:
        with _direct.open(f"{endpoint}/v2/models/stats", timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (400, 404, 405, 501):
                raise Unsupported(f"HTTP {error.code}") from error
            raise ConnectionError(f"HTTP {error.code}") from error
    found = []
    for each in answer.get("model_stats", []):
        stages = {stage: each["inference_stats"].get(stage, {}) for stage in DURATIONS}
        durations = {stage: (int(it.get("count", 0)), it.get("ns", 0) / 1e9) for stage, it in stages.items()}
        found.append(
            ModelStatistics(each["name"], each["version"], each["inference_count"], each["execution_count"], durations)
        )
    return found
