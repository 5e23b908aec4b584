"""Metrics of a worker process: one HTTP endpoint, one announcement for each operator, counters for each operator."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from model_plugins.discovery.announcer import EphemeralNodes
from model_plugins.metrics.families import Source, families
from model_plugins.metrics.http_endpoint import HttpEndpoint
from model_plugins.metrics.recorder import Recorder
from model_plugins.metrics.rows import Recent, rows_of
from model_plugins.metrics.server_statistics import StatisticsPoller
from model_plugins.metrics.workers import Worker
from model_plugins.protocol import Manifest

log = structlog.get_logger(__name__)

BIND = "SOSIE_METRICS_BIND"
"""Environment: `HOST` or `HOST:PORT` to listen on; default 127.0.0.1 and a free port."""
ADVERTISE = "SOSIE_METRICS_ADVERTISE"
"""Environment: the host that others reach the endpoint by; default: the one that is listened on, or the host name."""


class OperatorRecent(msgspec.Struct, kw_only=True):
    """One operator's part of `/recent.json`."""

    id: str
    job: str
    kind: str
    pid: int
    recent: Recent


class WorkerMetrics:
    """What one operator counts. Give `observer` to the model client, and call its `plugin_ran` and `plugin_cached`.

    Several operators of a process share its HTTP endpoint; the last one that closes takes it down. Counting goes on
    when the endpoint cannot be opened or ZooKeeper is away: a job never fails for its metrics.

    Args:
        zookeeper: where the endpoint is announced; empty: nowhere.
        job, kind: of the operator; labels.
        plugins: those of the job, for the label `plugin` of model calls; see `know`.
    """

    def __init__(self, zookeeper: str, job: str, kind: str, plugins: Iterable[Manifest] = ()) -> None:
        self.observer = Recorder()
        self.zookeeper = zookeeper
        self.job, self.kind = job, kind
        self.id = f"{kind}-{uuid.uuid4().hex[:12]}"
        self.started = time.time()
        self._plugins: dict[str, str] = {}
        self.know(plugins)
        self._process: _Process | None = _enter(self)

    @property
    def address(self) -> str:
        """`host:port` of the endpoint; empty while there is none."""
        endpoint = self._process.endpoint if self._process else None
        return f"{endpoint.host}:{endpoint.port}" if endpoint else ""

    def know(self, plugins: Iterable[Manifest]) -> None:
        """These are the plug-ins from now on. Those that call the same model share its batches, and its label."""
        names: dict[str, set[str]] = {}
        for each in plugins:
            if each.model is not None:
                names.setdefault(each.model.name, set()).add(each.name)
        self._plugins = {model: ",".join(sorted(each)) for model, each in names.items()}

    def plugins_of(self, model: str) -> str:
        """The names of the plug-ins that call a model, joined by commas."""
        return self._plugins.get(model, "")

    def recent(self) -> Recent:
        """The last minutes."""
        return rows_of(self.observer.read(), self.observer.window_seconds, self.plugins_of)

    def close(self) -> None:
        """Withdraw. Harmless twice."""
        process, self._process = self._process, None
        if process is not None:
            _leave(process, self)


class _Process(Collector):
    """What the operators of this process share."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.operators: dict[str, WorkerMetrics] = {}
        self._nodes: dict[str, EphemeralNodes] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self.endpoint: HttpEndpoint | None = None
        host, port = _bind()
        try:
            pages = {"/metrics": self._metrics_page, "/recent.json": self._recent_page}
            self.endpoint = HttpEndpoint(host, port, pages)
        except OSError as error:
            log.error("metrics_not_served", host=host, error=str(error))
        self._statistics = StatisticsPoller(self._endpoints)

    def collect(self) -> Iterable[Metric]:
        """All operators' metrics, and what the model servers say of themselves."""
        operators = list(self.operators.values())
        yield from families([Source(each.job, each.kind, each.observer.read(), each.plugins_of) for each in operators])
        yield from self._statistics.families()

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: asked for when the collector is registered."""
        return []

    def announce(self) -> None:
        """Bring the announcements in line with the operators."""
        if self.endpoint is None:
            return
        address = os.environ.get(ADVERTISE, "") or self.endpoint.host
        address = socket.gethostname() if address in ("0.0.0.0", "::", "") else address  # noqa: S104 - compared
        wanted: dict[str, dict[str, bytes]] = {zookeeper: {} for zookeeper in self._nodes}
        for each in self.operators.values():
            worker = Worker(
                id=each.id,
                address=address,
                port=self.endpoint.port,
                job=each.job,
                kind=each.kind,
                pid=self.pid,
                started=each.started,
            )
            if each.zookeeper:
                wanted.setdefault(each.zookeeper, {})[worker.path] = msgspec.json.encode(worker)
        for zookeeper, nodes in wanted.items():
            if zookeeper not in self._nodes:
                self._nodes[zookeeper] = EphemeralNodes(zookeeper, name="worker-announcer")
            self._nodes[zookeeper].want(nodes)

    def close(self) -> None:
        """End everything."""
        for nodes in self._nodes.values():
            nodes.close()
        if self.endpoint is not None:
            self.endpoint.close()
        self._statistics.close()

    def _endpoints(self) -> set[str]:
        """The servers that were called lately."""
        return {
            key.endpoint
            for each in list(self.operators.values())
            for key in each.observer.read().lately
            if key.table == "calls" and ":" in key.endpoint
        }

    def _metrics_page(self) -> tuple[str, bytes]:
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _recent_page(self) -> tuple[str, bytes]:
        answer = [
            OperatorRecent(id=each.id, job=each.job, kind=each.kind, pid=self.pid, recent=each.recent())
            for each in list(self.operators.values())
        ]
        return "application/json", msgspec.json.encode(answer)


_lock = threading.Lock()
_shared: _Process | None = None


def _enter(operator: WorkerMetrics) -> _Process:
    global _shared  # noqa: PLW0603 - one for each process is the point
    with _lock:
        if _shared is None or _shared.pid != os.getpid():  # a forked child has none of its parent's threads
            _shared = _Process()
        _shared.operators[operator.id] = operator
        _shared.announce()
        return _shared


def _leave(process: _Process, operator: WorkerMetrics) -> None:
    global _shared  # noqa: PLW0603
    with _lock:
        process.operators.pop(operator.id, None)
        if process.operators:
            process.announce()
            return
        if _shared is process:
            _shared = None
    if process.pid == os.getpid():
        process.close()


def _bind() -> tuple[str, int]:
    text = os.environ.get(BIND, "") or "127.0.0.1"
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        return text, 0
    return host.strip("[]"), int(port)
