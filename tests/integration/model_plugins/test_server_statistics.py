"""The statistics of a real Triton, over gRPC and HTTP, and of a real MLServer, which has none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.small_servers import MODEL, SmallServer
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.metrics.server_statistics import StatisticsPoller, Unsupported, ask
from model_plugins.metrics.worker import WorkerMetrics

pytestmark = pytest.mark.stack


@pytest.fixture(params=["triton", "mlserver"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallServer]:
    made = SmallServer(tmp_path_factory.mktemp(request.param), request.param)
    try:
        made.start()
        made.wait_ready()
        yield made
    finally:
        made.kill()


@pytest.fixture
def metrics() -> Iterator[WorkerMetrics]:
    made = WorkerMetrics("", "job", "image")
    yield made
    made.close()


def test_what_the_server_counts_is_what_the_client_sent(
    server: SmallServer, metrics: WorkerMetrics, request: pytest.FixtureRequest
) -> None:
    async def calls() -> None:
        client = ModelClient(StaticDirectory({MODEL.name: (server.grpc,)}), observer=metrics.observer)
        for _ in range(5):
            until = asyncio.get_running_loop().time() + 20
            await client.infer(MODEL, 3, {"in": [np.ones((3, 7), np.float32)]}, until)
        await client.close()

    asyncio.run(calls())
    [row] = metrics.recent().calls
    assert (row.calls, row.ok, row.rows) == (5, 5, 15)
    poller = StatisticsPoller(lambda: [server.grpc, server.http], period=3600)
    try:
        poller.poll()
        found = {
            (sample.name, sample.labels["endpoint"]): sample.value
            for family in poller.families()
            for sample in family.samples
            if sample.labels.get("model", MODEL.name) == MODEL.name and sample.labels.get("stage", "") == ""
        }
    finally:
        poller.close()
    for endpoint in (server.grpc, server.http):
        if "triton" in request.node.callspec.id:
            [mine] = [each for each in ask(endpoint) if each.model == MODEL.name]
            assert (mine.rows, mine.batches, mine.version) == (15, 5, row.version)
            assert mine.durations["compute_infer"][0] == 5
            assert 0 < mine.durations["compute_infer"][1] < 5
            assert found["sosie_server_rows_total", endpoint] == 15
            assert found["sosie_server_statistics_supported", endpoint] == 1
        else:
            with pytest.raises(Unsupported):
                ask(endpoint)
            assert found == {("sosie_server_statistics_supported", each): 0.0 for each in (server.grpc, server.http)}
