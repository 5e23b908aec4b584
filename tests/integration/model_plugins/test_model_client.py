"""Calls over real sockets: errors by kind, another endpoint for a dead one, one deadline over all."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from model_servers import KServe
from tritonclient.grpc import service_pb2

from materials.errors import Overloaded, Permanent, Retryable
from model_plugins.balancing import by_name
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.instances import StaticDirectory
from model_plugins.observing import Attempt, Silent
from model_plugins.protocol import ModelRef

DOUBLE = ModelRef(name="double", inputs={"in": ("FP32", (3,))}, outputs=("out",), max_batch=4)
Start = Callable[..., KServe]


def ask(*addresses: str, deadline: float = 5.0, calls: int = 1, strategy: str = "") -> list[np.ndarray]:
    """What `calls` calls in a row answer, when these servers are known."""

    async def go() -> list[np.ndarray]:
        client = ModelClient(StaticDirectory({"double": addresses}), by_name(strategy), patience=0.1)
        answers = []
        try:
            for number in range(calls):
                pieces = {"in": [np.full((1, 3), number, np.float32), np.full((1, 3), -number, np.float32)]}
                until = asyncio.get_running_loop().time() + deadline
                answers.append((await client.infer(DOUBLE, 2, pieces, until))["out"])
        finally:
            await client.close()
        return answers

    return asyncio.run(go())


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_rows_come_back_in_order(kserve: Start) -> None:
    answers = ask(kserve().address, calls=3)
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, [[2 * number] * 3, [-2 * number] * 3])


def test_servers_take_turns(kserve: Start) -> None:
    servers = [kserve() for _ in range(3)]
    ask(*[each.address for each in servers], calls=9, strategy="round-robin")
    assert [len(each.batches) for each in servers] == [3, 3, 3]


def test_a_dead_server_is_passed_over(kserve: Start) -> None:
    alive = kserve()
    ask(closed_port(), alive.address, closed_port(), calls=6)
    assert len(alive.batches) == 6


def test_dead_servers_that_cannot_all_be_ejected_cost_no_call(kserve: Start) -> None:
    """Refusing is quicker than answering, and no more than half are ejected: neither may cost a call."""
    alive = kserve()
    answer = alive.answer

    def slowly(request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
        time.sleep(0.05)
        return answer(request)

    alive.answer = slowly
    for strategy in ("", "round-robin"):
        ask(closed_port(), alive.address, closed_port(), closed_port(), calls=30, strategy=strategy)
    assert len(alive.batches) == 60


def test_a_call_dials_few_of_many_dead_servers_in_a_row() -> None:
    dialled: list[str] = []

    class Counts(Silent):
        def attempt_started(self, attempt: Attempt) -> None:
            dialled.append(attempt.endpoint)

    async def go() -> None:
        directory = StaticDirectory({"double": tuple(closed_port() for _ in range(40))})
        client = ModelClient(directory, patience=0.0, observer=Counts())
        with pytest.raises(Retryable):
            await client.infer(DOUBLE, 1, {"in": [np.zeros((1, 3), np.float32)]}, asyncio.get_running_loop().time() + 5)
        await client.close()

    asyncio.run(go())
    assert len(dialled) == len(set(dialled)) == 8


def test_all_dead_is_retryable() -> None:
    with pytest.raises(Retryable, match=r"model .double. at 127\.0\.0\.1") as caught:
        ask(closed_port(), closed_port())
    assert not isinstance(caught.value, Overloaded)


def test_a_server_that_hangs_leaves_the_next_one_time(kserve: Start) -> None:
    stuck, alive = kserve(), kserve()
    stuck.hang.clear()
    assert len(ask(stuck.address, alive.address, deadline=1.5, calls=2)) == 2
    assert len(alive.batches) == 2


def test_the_deadline_holds_over_all_attempts(kserve: Start) -> None:
    servers = [kserve() for _ in range(3)]
    for each in servers:
        each.hang.clear()

    async def timed() -> float:
        loop = asyncio.get_running_loop()
        client = ModelClient(StaticDirectory({"double": tuple(each.address for each in servers)}))
        started = loop.time()
        with pytest.raises(Retryable):
            await client.infer(DOUBLE, 1, {"in": [np.zeros((1, 3), np.float32)]}, started + 0.6)
        spent = loop.time() - started
        await client.close()
        return spent

    assert 0.5 < asyncio.run(timed()) < 2.0


def test_nobody_there_says_where_it_looked() -> None:
    with pytest.raises(Retryable, match=r"no server offers model .double.: .*sosie status"):
        ask()


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", Overloaded),
        (grpc.StatusCode.UNAVAILABLE, "Server is stopping, scheduler has stopped accepting requests", Retryable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", Overloaded),
        (grpc.StatusCode.INTERNAL, "Stub process is not healthy", Retryable),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'in'", Permanent),
        (grpc.StatusCode.UNIMPLEMENTED, "no such method", Permanent),
    ],
)
def test_errors_by_kind(kserve: Start, code: grpc.StatusCode, words: str, expected: type[Exception]) -> None:
    server = kserve()
    server.fault = (code, words)
    with pytest.raises(Retryable if expected is not Permanent else Permanent, match=words) as caught:
        ask(server.address)
    assert isinstance(caught.value, expected)
    assert isinstance(caught.value, Overloaded) == (expected is Overloaded)


def test_a_model_that_one_server_does_not_have_is_asked_of_another(kserve: Start) -> None:
    without, having = kserve("other"), kserve("double")
    assert len(ask(without.address, having.address, calls=4)) == 4
    with pytest.raises(Permanent, match="unknown model"):
        ask(without.address)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "complaint"),
    [
        ("FP32", [2, 3], b"", "gave 0 bytes"),
        ("FP32", [1, 3], bytes(12), "for 2 rows"),
        ("BYTES", [2], bytes(8), "not supported"),
    ],
)
def test_answers_that_cannot_be_right(
    kserve: Start, datatype: str, shape: list[int], raw: bytes, complaint: str
) -> None:
    server = kserve()

    def answer(request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
        response = service_pb2.ModelInferResponse(model_name="double")
        response.outputs.add(name="out", datatype=datatype, shape=shape)
        response.raw_output_contents.append(raw)
        return response

    server.answer = answer
    with pytest.raises(Permanent, match=complaint):
        ask(server.address)


def test_a_server_that_comes_back_on_its_port_is_used_again(kserve: Start) -> None:
    first = kserve()

    async def go() -> None:
        loop = asyncio.get_running_loop()
        client = ModelClient(StaticDirectory({"double": (first.address,)}), patience=0.0)
        pieces = {"in": [np.ones((1, 3), np.float32)]}
        await client.infer(DOUBLE, 1, pieces, loop.time() + 5)
        await loop.run_in_executor(None, first.stop)
        with pytest.raises(Retryable):
            await client.infer(DOUBLE, 1, pieces, loop.time() + 5)
        second = await loop.run_in_executor(None, lambda: kserve("double", port=first.port))
        give_up = loop.time() + 10
        while not second.batches:
            assert loop.time() < give_up
            try:
                await client.infer(DOUBLE, 1, pieces, loop.time() + 5)
            except Retryable:
                await asyncio.sleep(0.05)  # the channel waits before it dials again
        await client.close()

    asyncio.run(go())


def test_a_call_outlives_a_restart_of_the_only_server(kserve: Start) -> None:
    first = kserve()

    async def go() -> None:
        loop = asyncio.get_running_loop()
        client = ModelClient(StaticDirectory({"double": (first.address,)}))
        pieces = {"in": [np.ones((1, 3), np.float32)]}
        await client.infer(DOUBLE, 1, pieces, loop.time() + 5)
        await loop.run_in_executor(None, first.stop)
        call = asyncio.create_task(client.infer(DOUBLE, 1, pieces, loop.time() + 10))
        done, _ = await asyncio.wait([call], timeout=0.3)
        assert not done, "it waits while nobody listens"
        await loop.run_in_executor(None, lambda: kserve("double", port=first.port))
        assert (await call)["out"].tolist() == [[2, 2, 2]]
        await client.close()

    asyncio.run(go())
