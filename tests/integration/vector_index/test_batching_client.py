"""Clients that batch by themselves, against a real server in this process: order, errors and cancellation by item."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from index_items import free_port, image, server, vectors
from msgspec.structs import replace

from materials.errors import Retryable, UsageError
from materials.records import AssignItem, Assignment
from vector_index.batching_client import AsyncBatchingClient, BatchingClient
from vector_index.client import AsyncIndexClient, IndexClient

V = vectors(300, dim=64)


class Counting(AsyncIndexClient):
    """The real client, which also notes what it was asked."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.sizes: list[int] = []
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def assign(self, items: Sequence[AssignItem]) -> list[Assignment]:
        self.sizes.append(len(items))
        self.entered.set()
        await self.gate.wait()
        return await super().assign(items)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> object:
    port = free_port()
    with server(tmp_path_factory.mktemp("batching"), port):
        yield f"127.0.0.1:{port}"


def test_coroutines_share_calls_and_keep_their_order(address: str) -> None:
    async def main() -> None:
        client = Counting(address)
        async with AsyncBatchingClient(client, max_batch=64, in_flight=1) as batching:
            items = [image(f"o{i}", V[i]) for i in range(150)]
            answers = await asyncio.gather(*(batching.assign_one(item) for item in items))
            assert [answer.material_id for answer in answers] == [item.material_id for item in items]
            assert client.sizes == [64, 64, 22]
            copies = await asyncio.gather(*(batching.assign_one(image(f"p{i}", V[i])) for i in range(5)))
            assert [copy.content_id for copy in copies] == [answer.content_id for answer in answers[:5]]

    asyncio.run(main())


def test_one_bad_item_spares_its_neighbours(address: str) -> None:
    async def main() -> None:
        async with AsyncBatchingClient.at(address) as batching:
            bad = replace(image("bad", V[200]), policy="feet")
            items = [image("good-a", V[201]), bad, image("good-b", V[202])]
            answers = await asyncio.gather(*(batching.assign_one(item) for item in items), return_exceptions=True)
            assert isinstance(answers[1], UsageError)
            assert [one.outcome for one in (answers[0], answers[2]) if isinstance(one, Assignment)] == ["unique"] * 2

    asyncio.run(main())


def test_an_item_that_is_cancelled_before_it_left_is_not_sent(address: str) -> None:
    async def main() -> None:
        client = Counting(address)
        client.gate.clear()
        async with AsyncBatchingClient(client, in_flight=1) as batching:
            first = asyncio.create_task(batching.assign_one(image("c-first", V[210])))
            await client.entered.wait()
            given_up = asyncio.create_task(batching.assign_one(image("c-gone", V[211])))
            kept = asyncio.create_task(batching.assign_one(image("c-kept", V[212])))
            await asyncio.sleep(0)
            given_up.cancel()
            client.gate.set()
            assert (await first).outcome == (await kept).outcome == "unique"
            assert await client.get(["c-gone"], "feed") == [None]

    asyncio.run(main())


def test_a_closed_client_says_so() -> None:
    async def main() -> None:
        batching = AsyncBatchingClient.at(f"127.0.0.1:{free_port()}")
        waiting = asyncio.create_task(batching.assign_one(image("x", V[0])))
        await asyncio.sleep(0)
        await batching.close()
        with pytest.raises(Retryable):
            await waiting
        with pytest.raises(Retryable):
            await batching.assign_one(image("x", V[0]))

    asyncio.run(main())
    with pytest.raises(ValueError, match="at least 1"):
        BatchingClient("127.0.0.1:1", in_flight=0)


def test_threads_share_calls(address: str) -> None:
    with BatchingClient(address, max_batch=32) as batching, ThreadPoolExecutor(16) as threads:
        items = [image(f"t{i}", V[220 + i]) for i in range(40)]
        answers = list(threads.map(batching.assign_one, items))
        assert [answer.material_id for answer in answers] == [item.material_id for item in items]
        bad = batching.submit(replace(image("t-bad", V[0]), fingerprint=b"short"))
        good = batching.submit(image("t-good", V[270]))
        with pytest.raises(UsageError):
            bad.result(30)
        assert good.result(30).outcome == "unique"
    with pytest.raises(Retryable):
        batching.submit(items[0])
    with IndexClient(address) as client:
        assert None not in client.get([item.material_id for item in items], "feed")


def test_threads_that_close_send_what_waits(address: str) -> None:
    batching = BatchingClient(address, in_flight=1)
    futures = [batching.submit(image(f"w{i}", V[280 + i])) for i in range(10)]
    closer = threading.Thread(target=batching.close)
    closer.start()
    assert {future.result(30).outcome for future in futures} <= {"unique", "duplicate"}
    closer.join()
