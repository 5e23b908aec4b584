"""A worker's endpoint, scraped and read again through ZooKeeper; model servers with statistics and without."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest
from kazoo.client import KazooClient
from model_servers import KServe, ZooKeeper, wait_until
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import service_pb2

from materials.errors import UsageError
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.metrics import server_statistics
from model_plugins.metrics.reading import recent
from model_plugins.metrics.server_statistics import StatisticsPoller, Unsupported
from model_plugins.metrics.worker import ADVERTISE, BIND, WorkerMetrics
from model_plugins.metrics.workers import targets, workers
from model_plugins.protocol import Manifest, ModelRef

ROOT = Path(__file__).parents[3]
DOUBLE = ModelRef(name="double", inputs={"in": ("FP32", (3,))}, outputs=("out",), max_batch=4)
PLUGINS = [Manifest(name=name, version=1, media="image", schema="vector", model=DOUBLE) for name in ("two", "one")]
Start = Callable[..., KServe]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkerMetrics]]:
    for name in (BIND, ADVERTISE, "SOSIE_ZOOKEEPER_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    opened: list[WorkerMetrics] = []

    def make(*given: Any) -> WorkerMetrics:
        opened.append(WorkerMetrics(*given))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def page(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def samples(address: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """As Prometheus parses it; a name with its labels that is there twice is an error."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(page(address, "/metrics")):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(address: str, metric: str, **labels: str) -> float:
    wanted = set(labels.items())
    hits = [number for (name, have), number in samples(address).items() if name == metric and wanted <= have]
    assert hits, (metric, labels)
    return sum(hits)


def calls(server: KServe, metrics: WorkerMetrics, count: int, dead: str = "") -> None:
    async def go() -> None:
        addresses = (server.address, dead) if dead else (server.address,)
        client = ModelClient(StaticDirectory({"double": addresses}), observer=metrics.observer)
        for _ in range(count):
            until = asyncio.get_running_loop().time() + 5
            await client.infer(DOUBLE, 2, {"in": [np.ones((2, 3), np.float32)]}, until)
        await client.close()

    asyncio.run(go())


def test_real_calls_show_on_the_endpoint(kserve: Start, made: Callable[..., WorkerMetrics]) -> None:
    server = kserve()
    metrics = made("", "job-1", "image", PLUGINS)
    calls(server, metrics, 7)
    metrics.observer.batch_formed("double", "", 2, 0.001, 5)
    metrics.observer.ejected("double", server.address, 3.0, "success_rate")
    metrics.observer.plugin_cached("one@1", hit=True)
    about = {"plugin": "one,two", "model": "double", "endpoint": server.address, "job": "job-1", "kind": "image"}
    address = metrics.address
    assert address.startswith("127.0.0.1:")
    assert value(address, "sosie_model_calls_total", result="ok", **about) == 7
    assert value(address, "sosie_model_calls_total", result="timeout", **about) == 0
    assert value(address, "sosie_model_rows_total", **about) == 14
    assert value(address, "sosie_model_call_seconds_count", **about) == 7
    assert value(address, "sosie_model_call_seconds_bucket", le="+Inf", **about) == 7
    assert 0 < value(address, "sosie_model_call_seconds_sum", **about) < 7
    assert value(address, "sosie_model_calls_in_flight", **about) == 0
    assert value(address, "sosie_model_ejections_total", reason="success_rate", **about) == 1
    assert value(address, "sosie_model_endpoint_ejected", **about) == 1
    assert value(address, "sosie_model_batch_rows_sum", model="double") == 2
    assert value(address, "sosie_model_queue_rows", model="double") == 5
    assert value(address, "sosie_plugin_cache_total", plugin="one", version="1", result="hit") == 1
    assert value(address, "process_cpu_seconds_total") > 0
    [operator] = json.loads(page(address, "/recent.json"))
    [row] = operator["recent"]["calls"]
    assert (row["calls"], row["ok"], row["ejected"]) == (7, 7, True)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page(address, "/")


def test_failures_are_counted_by_kind(kserve: Start, made: Callable[..., WorkerMetrics]) -> None:
    server, dead = kserve(), kserve()
    dead.stop()
    metrics = made("", "job-1", "image", PLUGINS)
    calls(server, metrics, 20, dead.address)
    assert value(metrics.address, "sosie_model_calls_total", result="gone", endpoint=dead.address) >= 1
    assert value(metrics.address, "sosie_model_retries_total", model="double") >= 1
    assert value(metrics.address, "sosie_model_calls_total", result="ok", endpoint=server.address) == 20


def test_operators_of_one_process_share_an_endpoint_and_workers_are_added_up(
    quorum: ZooKeeper, kserve: Start, made: Callable[..., WorkerMetrics], tmp_path: Path
) -> None:
    server = kserve()
    image, again, post = (made(quorum.address, "job-1", kind, PLUGINS) for kind in ("image", "image", "post"))
    assert image.address == again.address == post.address
    for metrics, count in ((image, 3), (again, 4), (post, 5)):
        calls(server, metrics, count)
    assert value(image.address, "sosie_model_calls_total", result="ok", kind="image") == 7, "one series for both"

    script = (
        "import sys; from model_plugins.metrics.worker import WorkerMetrics\n"
        f"metrics = WorkerMetrics({quorum.address!r}, 'job-2', 'image')\n"
        "metrics.observer.plugin_ran('one@1', 0.01, 'ok'); sys.stdin.read(); metrics.close()"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE) as other:
        try:
            wait_until(lambda: len(workers(quorum.address)) == 4, what="all announced")
            found = workers(quorum.address)
            assert [(each.job, each.kind) for each in found] == [
                ("job-1", "image"),
                ("job-1", "image"),
                ("job-1", "post"),
                ("job-2", "image"),
            ]
            assert {each.pid for each in found} == {os.getpid(), other.pid}
            groups = targets(found)
            assert len(groups) == 2
            mine = next(each for each in groups if each["labels"]["sosie_pid"] == str(os.getpid()))
            assert mine["targets"] == [image.address]
            assert mine["labels"]["sosie_kind"] == "image,post"

            lately = recent(quorum.address)
            assert lately.silent == []
            assert [(row.model, row.calls, row.plugin) for row in lately.recent.calls] == [("double", 12, "one,two")]
            assert [(row.plugin, row.runs) for row in lately.recent.plugins] == [("one", 1)]
            assert recent(quorum.address, job="job-2").recent.calls == []

            table = subprocess.run(
                [sys.executable, "-c", "import typer; from pipeline.cli import metrics; app = typer.Typer();"
                 "app.callback()(lambda: None); metrics.register(app); app()",
                 "metrics", "--zookeeper", quorum.address],
                cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
            ).stdout  # fmt: skip
            assert re.search(r"double\W+12\W.*100\.0%.*\n.*\n\s+one\W*\n\s+two", table), table
            other.kill()
            other.wait()
            assert [each.pid for each in recent(quorum.address).silent] == [other.pid], "its node lasts a while"
        finally:
            other.kill()

    post.close()
    post.close()
    again.close()
    wait_until(lambda: [each.id for each in workers(quorum.address) if each.job == "job-1"] == [image.id])
    address = image.address
    assert page(address, "/metrics")
    image.close()
    with pytest.raises(OSError, match="refused"):
        page(address, "/metrics")


def test_a_worker_counts_without_zookeeper_and_reading_says_so(
    quorum: ZooKeeper, made: Callable[..., WorkerMetrics]
) -> None:
    quorum.kill()
    metrics = made(quorum.address, "job", "image")
    metrics.observer.plugin_ran("p@1", 0.1, "ok")
    assert value(metrics.address, "sosie_plugin_runs_total", result="ok") == 1
    with pytest.raises(UsageError, match="does not answer"):
        workers(quorum.address, timeout=0.5)
    quorum.start()
    wait_until(lambda: len(workers(quorum.address)) == 1, what="announced once there is a ZooKeeper")
    client = KazooClient(quorum.address)
    client.start()
    client.create("/sosie/workers/strange", b"not json")
    client.stop()
    client.close()
    assert len(workers(quorum.address)) == 1


def test_where_it_listens_and_what_it_calls_itself(
    quorum: ZooKeeper, made: Callable[..., WorkerMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = made("", "job", "image")
    port = int(free.address.rpartition(":")[2])
    free.close()
    monkeypatch.setenv(BIND, f"0.0.0.0:{port}")
    monkeypatch.setenv(ADVERTISE, "worker-7.example")
    metrics = made(quorum.address, "job", "image")
    assert metrics.address == f"0.0.0.0:{port}"
    wait_until(lambda: [each.target for each in workers(quorum.address)] == [f"worker-7.example:{port}"])
    script = "from model_plugins.metrics.worker import WorkerMetrics; print(WorkerMetrics('', 'j', 'k').address)"
    second = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stdout.splitlines()[-1] != metrics.address, "a taken port is no reason to fail"


class WithStatistics(KServe):
    """Answers the statistics extension as Triton's documentation has it."""

    def ModelStatistics(self, request: Any, context: Any) -> Any:
        answer = service_pb2.ModelStatisticsResponse()
        stats = answer.model_stats.add(name="double", version="3", inference_count=40, execution_count=10)
        stats.inference_stats.queue.count, stats.inference_stats.queue.ns = 10, 2_500_000_000
        return answer


def test_the_servers_own_statistics_beside_the_calls(kserve: Start) -> None:
    rich, plain, gone = WithStatistics(), kserve(), kserve()
    gone.stop()
    poller = StatisticsPoller(lambda: [rich.address, plain.address, gone.address], period=3600)
    try:
        with pytest.raises(Unsupported):
            server_statistics.ask(plain.address)
        poller.poll()
        found = {
            (sample.name, sample.labels["endpoint"], sample.labels.get("stage", "")): sample.value
            for family in poller.families()
            for sample in family.samples
        }
        assert found["sosie_server_statistics_supported", rich.address, ""] == 1
        assert found["sosie_server_statistics_supported", plain.address, ""] == 0
        assert ("sosie_server_statistics_supported", gone.address, "") not in found
        assert found["sosie_server_rows_total", rich.address, ""] == 40
        assert found["sosie_server_batches_total", rich.address, ""] == 10
        assert found["sosie_server_seconds_total", rich.address, "queue"] == 2.5
    finally:
        poller.close()
        rich.stop()


def test_a_server_that_fails_otherwise_is_not_taken_for_one_without(kserve: Start) -> None:
    class Broken(KServe):
        def ModelStatistics(self, request: Any, context: Any) -> Any:
            context.abort(grpc.StatusCode.INTERNAL, "out of luck")

    server = Broken()
    try:
        with pytest.raises(OSError, match="out of luck"):
            server_statistics.ask(server.address)
    finally:
        server.stop()


def test_what_is_announced_is_one_json_document(quorum: ZooKeeper, made: Callable[..., WorkerMetrics]) -> None:
    metrics = made(quorum.address, "job", "image")
    wait_until(lambda: workers(quorum.address))
    client = KazooClient(quorum.address)
    client.start()
    data, stat = client.get(f"/sosie/workers/{metrics.id}")
    client.stop()
    client.close()
    assert stat.ephemeralOwner
    host, _, port = metrics.address.rpartition(":")
    document = msgspec.json.decode(data)
    assert {**document, "started": 0} == {
        "id": metrics.id,
        "address": host,
        "port": int(port),
        "job": "job",
        "kind": "image",
        "pid": os.getpid(),
        "started": 0,
    }
