"""The same call, unchanged, against Triton over gRPC, Triton over HTTP, and MLServer over both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.small_servers import MODEL, SmallServer
from materials.errors import Permanent, Retryable
from model_plugins.call_errors import AttemptTimedOut, ModelUnknown, ServerGone
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import Endpoint, StaticDirectory
from model_plugins.protocol import ModelRef
from model_plugins.transports import Batch, GrpcTransport, HttpTransport, Transport, Wire, transport_to

pytestmark = pytest.mark.stack

Servers = dict[str, SmallServer]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made: Servers = {}
    try:
        for kind in ("triton", "mlserver"):
            made[kind] = SmallServer(tmp_path_factory.mktemp(kind), kind)  # type: ignore[arg-type]
            made[kind].start()
        for server in made.values():
            server.wait_ready()
        yield made
    finally:
        for server in made.values():
            server.kill()


WAYS = ["triton-grpc", "triton-http", "mlserver-grpc", "mlserver-http"]


def address(servers: Servers, way: str) -> str:
    kind, wire = way.split("-")
    return servers[kind].grpc if wire == "grpc" else servers[kind].http


def with_client(address: str, work: Callable[[ModelClient, float], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        client = ModelClient(StaticDirectory({MODEL.name: (address,)}), patience=0.0)
        try:
            return await work(client, asyncio.get_running_loop().time() + 20)
        finally:
            await client.close()

    return asyncio.run(go())


@pytest.mark.parametrize("way", WAYS)
def test_the_same_rows_come_back_from_everywhere(servers: Servers, way: str) -> None:
    rows = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    pieces = {"in": [rows[:2], rows[2:3], rows[3:]]}

    async def work(client: ModelClient, deadline: float) -> Any:
        answers = await asyncio.gather(*[client.infer(MODEL, 5, pieces, deadline) for _ in range(20)])
        wide = np.ones((2, 300_000), np.float32)  # above what shared memory is worth, where there is one
        return answers, await client.infer(MODEL, 2, {"in": [wide]}, deadline)

    answers, wide = with_client(address(servers, way), work)
    for answer in answers:
        assert answer["out"].dtype == np.float32
        np.testing.assert_allclose(answer["out"], 2 * rows, rtol=1e-6)
    assert wide["out"].shape == (2, 300_000)
    assert (wide["out"] == 2).all()


@pytest.mark.parametrize("way", WAYS)
def test_versions_are_asked_for(servers: Servers, way: str) -> None:
    rows = {"in": [np.ones((1, 2), np.float32)]}

    async def work(client: ModelClient, deadline: float) -> Any:
        return await client.infer(msgspec.structs.replace(MODEL, version="1"), 1, rows, deadline)

    assert with_client(address(servers, way), work)["out"].tolist() == [[2, 2]]

    async def ninth(client: ModelClient, deadline: float) -> Any:
        return await client.infer(msgspec.structs.replace(MODEL, version="9"), 1, rows, deadline)

    with pytest.raises(Permanent):
        with_client(address(servers, way), ninth)


@pytest.mark.parametrize("way", WAYS)
def test_an_unknown_model_and_a_bad_input_are_no_fault_of_the_server(servers: Servers, way: str) -> None:
    async def go() -> None:
        transport = transport_to(address(servers, way))
        try:
            with pytest.raises(ModelUnknown):
                await transport.infer(_batch(ModelRef("nobody", MODEL.inputs, MODEL.outputs)), 10)
            if way.startswith("triton"):  # MLServer leaves it to the model to look at its inputs
                with pytest.raises(Permanent):
                    await transport.infer(_batch(ModelRef("double", {"in": ("INT32", (2,))}, ("out",))), 10)
            assert (await transport.infer(_batch(MODEL), 10)).version == "1"
            assert await transport.ready("double", "", 5)
            assert not await transport.ready("nobody", "", 5)
        finally:
            await transport.close()

    asyncio.run(go())


def _batch(model: ModelRef) -> Batch:
    [(dtype, _)] = model.inputs.values()
    return Batch(model, 1, {"in": [np.ones((1, 2), np.int32 if dtype == "INT32" else np.float32)]})


@pytest.mark.parametrize("way", WAYS)
def test_a_slow_answer_and_a_dead_server_are_told_apart(servers: Servers, way: str) -> None:
    server = servers[way.split("-", maxsplit=1)[0]]

    async def go() -> None:
        transport = transport_to(address(servers, way))
        try:
            await transport.infer(_batch(MODEL), 10)
            server.slow_down(2.0)
            started = asyncio.get_running_loop().time()
            with pytest.raises(AttemptTimedOut):
                await transport.infer(_batch(MODEL), 0.3)
            assert asyncio.get_running_loop().time() - started < 1.0
        finally:
            server.slow_down(0.0)
            await transport.close()
        nobody: Transport = transport_to("http://127.0.0.1:1" if way.endswith("http") else "127.0.0.1:1")
        with pytest.raises(ServerGone):
            await nobody.infer(_batch(MODEL), 5)
        assert not await nobody.ready("double", "", 1)
        await nobody.close()

    asyncio.run(go())


def test_binary_tensors_where_the_server_knows_them(servers: Servers) -> None:
    async def go() -> list[bool | None]:
        found = []
        for server in servers.values():
            transport = HttpTransport(server.http)
            await transport.infer(_batch(MODEL), 10)
            found.append(transport._binary)
            await transport.close()
        return found

    assert asyncio.run(go()) == [True, False]


def test_the_announced_http_listener_is_called_when_it_is_wanted(servers: Servers) -> None:
    server = servers["triton"]
    endpoint = Endpoint(id="1", model="double", address=server.grpc, http_port=int(server.http.rpartition(":")[2]))

    async def go(wire: Wire) -> type[Transport]:
        directory = StaticDirectory({})
        directory._endpoints["double"] = (endpoint,)
        client = ModelClient(directory, wire=wire)
        try:
            rows = {"in": [np.ones((1, 2), np.float32)]}
            await client.infer(MODEL, 1, rows, asyncio.get_running_loop().time() + 5)
            return type(client._channels[server.grpc])
        finally:
            await client.close()

    assert [asyncio.run(go("http")), asyncio.run(go("grpc"))] == [HttpTransport, GrpcTransport]


def test_endpoints_that_announce_other_versions_are_not_picked(servers: Servers) -> None:
    class Announced(StaticDirectory):
        def __init__(self, *versions: tuple[str, tuple[str, ...]]) -> None:
            super().__init__({})
            self._list = tuple(Endpoint(id=a, model="double", address=a, versions=v) for a, v in versions)

        def endpoints(self, model: str) -> tuple[Endpoint, ...]:
            return self._list

    async def go(version: str) -> Any:
        directory = Announced(("127.0.0.1:1", ("2",)), (servers["triton"].grpc, ("1",)))
        client = ModelClient(directory, patience=0.0)
        try:
            model = msgspec.structs.replace(MODEL, version=version)
            rows = {"in": [np.ones((1, 2), np.float32)]}
            return await client.infer(model, 1, rows, asyncio.get_running_loop().time() + 5)
        finally:
            await client.close()

    assert asyncio.run(go("1"))["out"].tolist() == [[2, 2]]
    with pytest.raises(Retryable, match=r"at 127\.0\.0\.1:1"):
        asyncio.run(go("2"))
    with pytest.raises(Retryable, match="version 3"):
        asyncio.run(go("3"))
