"""The client over real sockets when servers hang, die, are full or slow; what it tells its observer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
from model_servers import KServe

from materials.errors import Overloaded, Retryable
from model_plugins.balancing import RoundRobin, Settings
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.observing import Attempt, FailureKind
from model_plugins.protocol import ModelRef

DOUBLE = ModelRef(name="double", inputs={"in": ("FP32", (3,))}, outputs=("out",), max_batch=4)
ROWS = {"in": [np.ones((1, 3), np.float32)]}
Start = Callable[..., KServe]


class Notes:
    """All that a client tells."""

    def __init__(self) -> None:
        self.started: list[Attempt] = []
        self.ended: list[tuple[Attempt, FailureKind | None, str]] = []
        self.said: list[tuple[str, ...]] = []

    def attempt_started(self, attempt: Attempt) -> None:
        self.started.append(attempt)

    def attempt_ended(self, attempt: Attempt, seconds: float, failure: FailureKind | None, served: str) -> None:
        assert seconds >= 0
        self.ended.append((attempt, failure, served))

    def retried(self, model: str, endpoint: str, failure: FailureKind) -> None:
        self.said.append(("retried", endpoint, failure))

    def hedged(self, model: str, endpoint: str) -> None:
        self.said.append(("hedged", endpoint))

    def ejected(self, model: str, endpoint: str, seconds: float, reason: str) -> None:
        self.said.append(("ejected", endpoint, reason))

    def readmitted(self, model: str, endpoint: str) -> None:
        self.said.append(("readmitted", endpoint))

    def batch_formed(self, model: str, version: str, rows: int, waited: float, queued: int) -> None:
        raise AssertionError("batches are not the client's")

    def asked(self, server: KServe) -> int:
        return sum(each.endpoint == server.address for each in self.started)


def with_client(
    servers: list[KServe], work: Callable[[ModelClient, Notes], Awaitable[Any]], **options: Any
) -> tuple[Any, Notes]:
    notes = Notes()

    async def go() -> Any:
        directory = StaticDirectory({"double": tuple(each.address for each in servers)})
        options.setdefault("patience", 0.2)
        client = ModelClient(directory, RoundRobin(), observer=notes, **options)
        try:
            return await work(client, notes)
        finally:
            await client.close()

    result = asyncio.run(go())
    assert Counter(map(id, notes.started)) == Counter(id(attempt) for attempt, _, _ in notes.ended)
    return result, notes


async def ask(client: ModelClient, seconds: float = 10.0) -> Any:
    return (await client.infer(DOUBLE, 1, ROWS, asyncio.get_running_loop().time() + seconds))["out"].tolist()


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other threads, too
            await asyncio.sleep(0.01)


def test_a_server_that_hangs_costs_a_slice_and_is_ejected(kserve: Start) -> None:
    stuck, alive = kserve(), kserve()

    async def work(client: ModelClient, notes: Notes) -> list[float]:
        loop = asyncio.get_running_loop()
        for _ in range(60):
            await ask(client)
        stuck.hang.clear()
        spent = []
        while not any(each[0] == "ejected" for each in notes.said):
            started = loop.time()
            assert await ask(client, 10.0) == [[2, 2, 2]]
            spent.append(loop.time() - started)
        before = notes.asked(stuck)
        for _ in range(20):
            await ask(client)
        assert notes.asked(stuck) == before, "an ejected server gets no calls"
        return spent

    spent, notes = with_client([stuck, alive], work)
    assert max(spent) < 1.5, "of the ten seconds that each call has"
    assert ("retried", stuck.address, "timeout") in notes.said
    assert {kind for attempt, kind, _ in notes.ended if attempt.endpoint == stuck.address} == {None, "timeout"}


def test_a_dead_server_is_asked_again_only_after_a_probe(kserve: Start) -> None:
    first, alive = kserve(), kserve()

    async def work(client: ModelClient, notes: Notes) -> KServe:
        loop = asyncio.get_running_loop()
        for _ in range(4):
            await ask(client)
        await loop.run_in_executor(None, first.stop)
        for _ in range(4):
            await ask(client)
        assert ("ejected", first.address, "consecutive_failures") in notes.said
        asked = notes.asked(first)
        await until(lambda: ("ejected", first.address, "probe_failed") in notes.said)
        for _ in range(10):
            await ask(client)
        assert notes.asked(first) == asked
        again = await loop.run_in_executor(None, lambda: kserve("double", port=first.port))
        await until(lambda: ("readmitted", first.address) in notes.said)
        while not again.batches:
            await ask(client)
        return again

    again, notes = with_client([first, alive], work)
    assert again.batches
    order = [each[0] for each in notes.said if each[0] in ("ejected", "readmitted")]
    assert order[-1] == "readmitted"


def test_a_full_server_is_passed_over_and_not_ejected(kserve: Start) -> None:
    full, alive = kserve(), kserve()
    full.fault = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")

    async def work(client: ModelClient, notes: Notes) -> None:
        for _ in range(30):
            assert await ask(client) == [[2, 2, 2]]

    _, notes = with_client([full, alive], work)
    assert not any(each[0] == "ejected" for each in notes.said)
    assert 1 <= notes.asked(full) < 15, "it rests after each refusal"


def test_all_full_is_overloaded_after_a_few_attempts(kserve: Start) -> None:
    servers = [kserve(), kserve()]
    for each in servers:
        each.fault = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")

    async def work(client: ModelClient, notes: Notes) -> None:
        with pytest.raises(Overloaded):
            await ask(client)

    _, notes = with_client(servers, work)
    assert 2 <= len(notes.started) <= 4


def test_retries_stay_within_their_budget(kserve: Start) -> None:
    servers = [kserve(), kserve()]
    for each in servers:
        each.fault = (grpc.StatusCode.INTERNAL, "broken")

    async def work(client: ModelClient, notes: Notes) -> float:
        started = asyncio.get_running_loop().time()
        calls = await asyncio.gather(*[ask(client) for _ in range(200)], return_exceptions=True)
        assert all(isinstance(each, Retryable) for each in calls)
        return asyncio.get_running_loop().time() - started

    seconds, notes = with_client(servers, work)
    assert 200 < len(notes.started) <= 200 * 1.2 + 5 * (1 + seconds) + 1


def test_calls_wait_at_the_cap(kserve: Start) -> None:
    server = kserve()

    async def work(client: ModelClient, notes: Notes) -> None:
        server.hang.clear()
        calls = [asyncio.create_task(ask(client)) for _ in range(6)]
        await until(lambda: len(notes.started) == 2)
        await asyncio.sleep(0.05)
        assert len(notes.started) == 2
        with pytest.raises(Overloaded, match="as many calls as they may"):
            await ask(client, 0.1)
        server.hang.set()
        assert await asyncio.gather(*calls) == [[[2, 2, 2]]] * 6

    with_client([server], work, settings=Settings(cap=2))


def test_hedges_past_the_p95(kserve: Start) -> None:
    slow, quick = kserve(), kserve()

    async def work(client: ModelClient, notes: Notes) -> None:
        for _ in range(120):
            await ask(client)
        notes.said.clear()
        slow.hang.clear()
        for _ in range(6):  # every other turn is the slow server's, unless a busy machine had a hedge take it
            assert await ask(client) == [[2, 2, 2]]
            if ("hedged", slow.address) in notes.said:
                break
        slow.hang.set()

    _, notes = with_client([slow, quick], work, hedging=True)
    assert ("hedged", slow.address) in notes.said
    assert any(attempt.hedge for attempt in notes.started)
    lost = [kind for attempt, kind, _ in notes.ended if attempt.endpoint == slow.address and kind]
    assert set(lost) <= {"cancelled"}


def test_inputs_of_any_size_go_as_they_are(kserve: Start) -> None:
    server = kserve()
    model = ModelRef("double", {"in": ("FP32", (-1, 2))}, ("out",))

    async def work(client: ModelClient, notes: Notes) -> None:
        for size in (1, 5):
            pieces = {"in": [np.full((1, size, 2), n, np.float32) for n in range(3)]}
            answer = await client.infer(model, 3, pieces, asyncio.get_running_loop().time() + 5)
            assert answer["out"].shape == (3, size, 2)
            assert answer["out"][:, 0, 0].tolist() == [0, 2, 4]

    with_client([server], work)
