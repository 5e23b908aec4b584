"""Tensors through shared memory, against the real Triton: the same answers, and no trust in a server that forgot."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import grpc
import numpy as np
import pytest
from model_servers import KServe
from numpy.typing import NDArray
from sosie_system import System
from tritonclient.grpc import service_pb2

from model_plugins.builtin.image_embedding import MODEL
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.protocol import ModelRef
from model_plugins.transports.shared_tensors import SharedTensors


def pictures(count: int) -> NDArray[np.uint8]:
    return np.stack([gradient_scene(224, 224, seed) for seed in range(count)])


async def embed(client: ModelClient, batch: NDArray[np.uint8]) -> NDArray[Any]:
    deadline = asyncio.get_running_loop().time() + 20
    return (await client.infer(MODEL, len(batch), {"image": [batch]}, deadline))["embedding"]


@pytest.mark.stack
def test_both_ways_give_the_same_answers_and_a_forgetful_server_costs_nothing(system: System) -> None:
    batch = pictures(8)

    async def go() -> tuple[Any, Any, Any, int]:
        client = ModelClient(StaticDirectory({MODEL.name: (system.addresses.triton,)}))
        shared = await embed(client, batch)
        [server] = client._channels.values()
        mapped = len(server.shared._all)
        # what a restart does: the server has mapped nothing, and this side does not know it
        unregister = server.channel.unary_unary(
            "/inference.GRPCInferenceService/SystemSharedMemoryUnregister",
            request_serializer=service_pb2.SystemSharedMemoryUnregisterRequest.SerializeToString,
            response_deserializer=service_pb2.SystemSharedMemoryUnregisterResponse.FromString,
        )
        for name in list(server.shared._all):
            await unregister(service_pb2.SystemSharedMemoryUnregisterRequest(name=name))
        forgotten = await embed(client, batch)
        server.shared._usable = False
        sent = await embed(client, batch)
        await client.close()
        return shared, forgotten, sent, mapped

    shared, forgotten, sent, mapped = asyncio.run(go())
    assert mapped == 1
    np.testing.assert_array_equal(shared, sent)
    np.testing.assert_array_equal(forgotten, sent)


@pytest.mark.stack
def test_no_file_stays_behind(system: System) -> None:
    async def go() -> None:
        async with grpc.aio.insecure_channel(system.addresses.triton) as channel:
            shared = SharedTensors(channel, system.addresses.triton)
            region = await shared.take(MODEL, 8)
            assert region is not None
            assert region.size >= 8 * 224 * 224 * 3
            assert region.name not in os.listdir(region.path.parent)  # a look, no wait
            shared.give_back(region)
            assert await shared.take(MODEL, 8) is region
            await shared.close()

    asyncio.run(go())


@pytest.mark.parametrize(("address", "rows"), [("10.1.2.3:8001", 8), ("127.0.0.1:8001", 1)])
def test_far_servers_and_small_tensors_use_the_socket(address: str, rows: int) -> None:
    async def go() -> object:
        async with grpc.aio.insecure_channel(address) as channel:
            return await SharedTensors(channel, address).take(MODEL, rows)

    assert asyncio.run(go()) is None


def test_a_server_without_the_extension_gets_messages(kserve: Any) -> None:
    """MLServer speaks the same protocol and has no shared memory."""
    server: KServe = kserve()
    big = ModelRef(name="double", inputs={"in": ("FP32", (3,))}, outputs=("out",), max_batch=40_000)
    rows = np.ones((40_000, 3), np.float32)

    async def go() -> Any:
        client = ModelClient(StaticDirectory({"double": (server.address,)}))
        deadline = asyncio.get_running_loop().time() + 20
        answer = (await client.infer(big, len(rows), {"in": [rows]}, deadline))["out"]
        [known] = client._channels.values()
        usable = known.shared._usable
        await client.close()
        return answer, usable

    answer, usable = asyncio.run(go())
    assert answer.shape == (40_000, 3)
    assert not usable


@pytest.mark.stack
def test_no_region_stays_mapped_after_a_client_that_closes_at_once(system: System) -> None:
    """Triton answers a moment before it lets go of the memory."""

    async def go() -> set[str]:
        for _ in range(5):
            client = ModelClient(StaticDirectory({MODEL.name: (system.addresses.triton,)}))
            await asyncio.gather(*[embed(client, pictures(8)) for _ in range(2)])
            [server] = client._channels.values()
            ours.update(server.shared._all)
            await client.close()
        async with grpc.aio.insecure_channel(system.addresses.triton) as channel:
            status = channel.unary_unary(
                "/inference.GRPCInferenceService/SystemSharedMemoryStatus",
                request_serializer=service_pb2.SystemSharedMemoryStatusRequest.SerializeToString,
                response_deserializer=service_pb2.SystemSharedMemoryStatusResponse.FromString,
            )
            return set((await status(service_pb2.SystemSharedMemoryStatusRequest())).regions)

    ours: set[str] = set()
    still_mapped = asyncio.run(go())
    assert ours
    assert not ours & still_mapped
