"""The real local stack: started once for this file, its parts killed one after another."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import redis
import tritonclient.grpc as triton
from kazoo.client import KazooClient

from deploy import stack
from deploy.addresses import Addresses, FixedPorts, GivenAddresses
from deploy.keeper import mark_of
from deploy.processes import marked, wait_until
from deploy.record import PartStatus
from materials.errors import UsageError

pytestmark = pytest.mark.stack
NOTHING_GIVEN = GivenAddresses()


class Stack:
    """A running stack and the questions that the tests ask of it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.events: list[str] = []
        self.addresses = stack.up(state, NOTHING_GIVEN, on_event=self.events.append)

    def parts(self) -> dict[str, PartStatus]:
        return {part.name: part for part in stack.status(self.state)}

    def kill(self, name: str) -> PartStatus:
        """SIGKILL a part and wait until the supervisor has it healthy again."""
        before = self.parts()[name]
        os.kill(before.pid, signal.SIGKILL)

        def back() -> bool:
            part = stack.load(self.state).parts[name]
            return part.restarts > before.restarts and part.state == "running"

        assert wait_until(back, 60), stack.status(self.state)
        after = self.parts()[name]
        assert after.pid != before.pid
        assert after.address == before.address
        return after


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # a long path, and one that no shell would take unquoted
    state = tmp_path_factory.mktemp("stack") / ("a rather long folder's name " * 6).strip() / "été"
    yield Stack(state)
    stack.down(state)
    assert marked(mark_of(state.resolve(), "")) == []


def embed(address: str, image: np.ndarray) -> np.ndarray:
    with triton.InferenceServerClient(address) as client:
        tensor = triton.InferInput("image", list(image.shape), "UINT8")
        tensor.set_data_from_numpy(image)
        answer: np.ndarray = client.infer("image-embedding", [tensor]).as_numpy("embedding")
        return answer


def test_every_part_is_healthy_and_listens_on_the_loopback_interface(running: Stack) -> None:
    parts = running.parts()
    assert {part.state for part in parts.values()} == {"running"}
    assert list(parts) == ["supervisor", "zookeeper", "redis", "index", "triton", "announcer", "gateway", "retry-pump"]
    assert len([event for event in running.events if "healthy" in event]) == 7
    for process, _ in marked(mark_of(running.state.resolve(), "")):
        for connection in psutil.Process(process.pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip.removeprefix("::ffff:") == "127.0.0.1", (
                    connection,
                    psutil.Process(process.pid).cmdline(),
                )


def test_the_model_answers_the_same_in_any_batch(running: Stack) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    together = embed(running.addresses.triton, images)
    assert together.shape == (8, 256)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(embed(running.addresses.triton, images[3:4])[0], together[3], atol=1e-4)


def test_a_ninth_row_is_refused(running: Stack) -> None:
    with pytest.raises(triton.InferenceServerException, match="batch"):
        embed(running.addresses.triton, np.zeros((9, 224, 224, 3), np.uint8))


def test_the_running_stack_is_found_and_a_second_up_is_harmless(running: Stack) -> None:
    before = {name: part.pid for name, part in running.parts().items()}
    answers: list[Addresses] = []
    threads = [threading.Thread(target=lambda: answers.append(stack.up(running.state, NOTHING_GIVEN))) for _ in "12"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [running.addresses] * 2
    assert stack.find(running.state) == running.addresses
    assert {name: part.pid for name, part in running.parts().items()} == before


def test_up_with_other_wishes_on_a_running_stack_is_refused(running: Stack) -> None:
    with pytest.raises(UsageError, match="not with redis") as caught:
        stack.up(running.state, GivenAddresses(redis="redis://127.0.0.1:1/0"))
    assert "sosie down" in caught.value.remedy
    with pytest.raises(UsageError, match="redis runs already"):
        stack.up(running.state, NOTHING_GIVEN, fixed=FixedPorts(redis=1))


def test_redis_comes_back_with_every_write_that_it_acknowledged(running: Stack) -> None:
    with redis.Redis.from_url(running.addresses.redis) as client:
        for number in range(200):
            client.set(f"key:{number}", number)
        running.kill("redis")
        assert [client.get(f"key:{number}") for number in range(200)] == [b"%d" % number for number in range(200)]


def test_zookeeper_comes_back_with_its_nodes_and_sessions(running: Stack) -> None:
    client = KazooClient(running.addresses.zookeeper, timeout=30)
    client.start()
    try:
        client.create("/kept", b"value", makepath=True)
        client.create("/mine", b"", ephemeral=True)
        session = client.client_id[0]
        running.kill("zookeeper")
        assert wait_until(lambda: bool(client.connected), 20)
        assert client.get("/kept")[0] == b"value"
        assert client.client_id[0] == session
        assert client.exists("/mine")
    finally:
        client.stop()
        client.close()


def test_the_index_comes_back_on_its_port(running: Stack) -> None:
    assert running.kill("index").state == "running"
    with grpc.insecure_channel(running.addresses.index) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)


def test_triton_comes_back_and_leaves_no_stub_behind(running: Stack) -> None:
    def stubs() -> set[int]:
        found = marked(mark_of(running.state.resolve(), "triton"))
        return {identity.pid for identity, _ in found if "stub" in psutil.Process(identity.pid).name()}

    before = stubs()
    assert before
    running.kill("triton")
    after = stubs()
    assert len(after) == len(before)
    assert not after & before
    assert embed(running.addresses.triton, np.zeros((1, 224, 224, 3), np.uint8)).shape == (1, 256)


def test_the_announcer_comes_back(running: Stack) -> None:
    assert running.kill("announcer").state == "running"


def test_a_killed_supervisor_is_replaced_and_takes_over_what_runs(running: Stack) -> None:
    before = running.parts()
    os.kill(before["supervisor"].pid, signal.SIGKILL)
    assert wait_until(lambda: running.parts()["supervisor"].state == "dead", 10)
    assert stack.find(running.state) is None
    os.kill(before["redis"].pid, signal.SIGKILL)  # dead while nobody looks: started again; the others are kept
    assert stack.up(running.state, NOTHING_GIVEN) == running.addresses
    after = running.parts()
    assert {part.state for part in after.values()} == {"running"}
    assert after["redis"].pid != before["redis"].pid
    for name in ("zookeeper", "index", "triton", "announcer", "gateway", "retry-pump"):
        assert after[name].pid == before[name].pid
    running.kill("announcer")  # it is not the new supervisor's child, and is watched all the same


def test_status_as_a_command_tells_a_dead_part_and_its_log(running: Stack) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli.main", *arguments, "--state", str(running.state)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert run("status").returncode == 0
    os.kill(running.parts()["supervisor"].pid, signal.SIGKILL)
    told = run("status", "--json")
    assert told.returncode == 1
    assert "supervisor is dead" in told.stderr
    assert "supervisor.log" in told.stderr
    stack.up(running.state, NOTHING_GIVEN)


def test_down_leaves_no_process_and_up_comes_back_on_the_same_ports(running: Stack) -> None:
    with redis.Redis.from_url(running.addresses.redis) as client:
        client.set("over", "night")
    assert set(stack.down(running.state)) == {
        *("zookeeper", "redis", "index", "triton", "announcer", "gateway", "retry-pump")
    }
    assert marked(mark_of(running.state.resolve(), "")) == []
    assert stack.find(running.state) is None
    assert {part.state for part in running.parts().values()} == {"stopped"}
    stranger_port = int(running.addresses.index.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", stranger_port)):
        moved = stack.up(running.state, NOTHING_GIVEN)
    assert moved.index != running.addresses.index  # a stranger has taken that one meanwhile
    assert (moved.zookeeper, moved.redis, moved.triton) == (
        running.addresses.zookeeper,
        running.addresses.redis,
        running.addresses.triton,
    )
    with redis.Redis.from_url(moved.redis) as client:
        assert client.get("over") == b"night"
