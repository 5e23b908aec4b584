"""Deadlines and backpressure of the service, with an engine that a test can hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from index_items import image, plain_rankers, vectors

from materials.errors import Overloaded, Retryable
from materials.records import AssignItem, Assignment
from vector_index.client import AsyncIndexClient
from vector_index.engine import Engine
from vector_index.gatekeeper import Gatekeeper
from vector_index.preparation import Prepared
from vector_index.proto import index_pb2_grpc
from vector_index.service import MAX_READS_WAITING, IndexService
from vector_index.tokens import Gate
from vector_index.writer import Answer, Writer

V = vectors(40)


class HeldEngine(Engine):
    """Decides and reads nothing until the test lets it go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, plain_rankers())
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.decided: list[str] = []
        self.reads = 0

    def decide(self, calls: Sequence[tuple[Sequence[AssignItem], Prepared | None]]) -> list[list[Assignment]]:
        self.entered.set()
        assert self.gate.wait(20)
        self.decided += [item.material_id for items, _ in calls for item in items]
        return super().decide(calls)

    def located(self, material_ids: Sequence[str], policy: str) -> list[tuple[Assignment | None, str]]:
        self.entered.set()
        assert self.gate.wait(20)
        self.reads += 1
        return super().located(material_ids, policy)


class NotedWriter(Writer):
    """Also keeps the answers that it has promised."""

    answers: list[Answer]

    def submit(self, items: Sequence[AssignItem]) -> Answer:
        self.answers.append(super().submit(items))
        return self.answers[-1]


@asynccontextmanager
async def serving(
    engine: Engine, answers: list[Answer] | None = None, services: list[IndexService] | None = None, **limits: int
) -> AsyncIterator[str]:
    writer = NotedWriter(engine, lambda _: None)
    writer.answers = [] if answers is None else answers
    gatekeeper = Gatekeeper(Gate(None), **limits)
    service = IndexService(engine, writer, gatekeeper.refused)
    if services is not None:
        services.append(service)
    running = grpc.aio.server(interceptors=(gatekeeper,))
    register: Any = index_pb2_grpc.add_VectorIndexServicer_to_server
    register(service, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await running.stop(0)
        await asyncio.to_thread(writer.close)
        service.close()
        engine.close()


def test_work_whose_deadline_passed_in_the_queue_is_not_done(tmp_path: Path) -> None:
    engine = HeldEngine(tmp_path)

    answers: list[Answer] = []

    async def main() -> None:
        async with serving(engine, answers) as address, AsyncIndexClient(address) as patient:
            async with AsyncIndexClient(address, deadline=0.3) as hasty:
                first = asyncio.create_task(patient.assign([image("first", V[0])]))
                await asyncio.to_thread(engine.entered.wait, 20)
                with pytest.raises(Retryable):
                    await hasty.assign([image("late", V[1])])
                withdrawn = asyncio.Event()
                loop = asyncio.get_running_loop()
                answers[1].add_done_callback(lambda _: loop.call_soon_threadsafe(withdrawn.set))
                await withdrawn.wait()
                assert answers[1].cancelled()
                second = asyncio.create_task(patient.assign([image("second", V[2])]))
                engine.gate.set()
                await asyncio.gather(first, second)
            assert engine.decided == ["first", "second"]
            assert (await patient.get(["late"], "feed")) == [None]

    asyncio.run(main())


def test_reads_whose_caller_left_are_not_made_and_too_many_are_pushed_back(tmp_path: Path) -> None:
    engine = HeldEngine(tmp_path)

    services: list[IndexService] = []

    async def main() -> None:
        async with serving(engine, services=services) as address, AsyncIndexClient(address) as client:
            waiting = {asyncio.create_task(client.get(["x"], "feed")) for _ in range(MAX_READS_WAITING + 8)}
            pushed_back: list[BaseException | None] = []
            while len(pushed_back) < 8:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                pushed_back += [one.exception() for one in done]
            assert len(pushed_back) == 8
            assert all(isinstance(error, Overloaded) and error.retry_after > 0 for error in pushed_back)
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            while services[0].reading:  # noqa: ASYNC110 - the server learns a moment later that its callers left
                await asyncio.sleep(0.005)
            engine.gate.set()
            assert await client.get(["x"], "feed") == [None]
            assert engine.reads <= 3  # the two that held the readers, and this one

    asyncio.run(main())


def test_requests_beyond_the_bytes_in_flight_are_pushed_back(tmp_path: Path) -> None:
    engine = HeldEngine(tmp_path)

    async def main() -> None:
        async with serving(engine, max_bytes=20_000) as address, AsyncIndexClient(address) as client:
            large = [image(f"m{i}", V[i]) for i in range(40)]
            held = asyncio.create_task(client.assign(large * 4))  # alone it may be larger
            await asyncio.to_thread(engine.entered.wait, 20)
            with pytest.raises(Overloaded) as caught:
                await client.assign([image("more", V[5])])
            assert caught.value.retry_after > 0
            engine.gate.set()
            assert len(await held) == 160
            assert (await client.assign([image("more", V[5])]))[0].material_id == "more"
            assert (await client.stats())["counters"]["refused_bytes"] == 1

    asyncio.run(main())
