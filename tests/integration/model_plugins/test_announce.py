"""`python -m model_plugins.discovery.announce` as the stack starts it: a process of its own, ended by signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model_servers import KServe, ZooKeeper, wait_until

from model_plugins.discovery.announce import parse_address
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.readiness import Readiness, ServedModel, ServerProbe, ServerView

Start = Callable[..., KServe]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def announce(quorum: ZooKeeper, tmp_path: Path) -> Iterator[Callable[[KServe], subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(server: KServe) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "model_plugins.discovery.announce", "--triton-grpc", server.address]
        command += ["--triton-http", "127.0.0.1:8000", "--zookeeper", quorum.address, "--interval", "0.05"]
        with (tmp_path / f"announce-{len(processes)}.log").open("wb") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def directory(quorum: ZooKeeper) -> Iterator[EndpointDirectory]:
    made = EndpointDirectory(quorum.address, ["double", "triple"], timeout=4.0, grace=3.0)
    yield made
    made.close()


def test_models_come_and_go(
    kserve: Start, announce: Callable[[KServe], subprocess.Popen[bytes]], directory: EndpointDirectory
) -> None:
    server = kserve("double")
    process = announce(server)
    [endpoint] = directory.wait_for("double", 20)
    assert (endpoint.address, endpoint.versions, endpoint.max_batch) == (server.address, ("1",), 4)

    server.models.append("triple")
    assert directory.wait_for("triple", 10)
    server.models.remove("double")
    wait_until(lambda: not directory.endpoints("double"), what="an unloaded model is withdrawn")
    server.ready = False
    wait_until(lambda: not directory.endpoints("triple"), what="a server that is not ready is withdrawn")
    server.ready = True
    assert directory.wait_for("triple", 10)

    server.stop()
    wait_until(lambda: not directory.endpoints("triple"), what="a dead server is withdrawn")
    assert process.poll() is None, "and its announcer waits for it"
    kserve("double", port=server.port)
    assert directory.wait_for("double", 10)

    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    wait_until(lambda: not directory.endpoints("double"), 3, "withdrawn on the way out, before the session expires")


def test_a_killed_announcer_and_its_successor(
    kserve: Start, announce: Callable[[KServe], subprocess.Popen[bytes]], directory: EndpointDirectory
) -> None:
    """The dead one's entry lasts until its session expires; meanwhile the server is listed once all the same."""
    server = kserve("double")
    first = announce(server)
    [before] = directory.wait_for("double", 20)
    first.kill()
    first.wait()
    announce(server)
    wait_until(lambda: [each.id != before.id for each in directory.endpoints("double")] == [True])
    assert [each.address for each in directory.endpoints("double")] == [server.address]


def test_a_probe_sees_what_is_there(kserve: Start) -> None:
    server = kserve("double", "triple")
    probe = ServerProbe(server.address)
    view = probe.look()
    assert view.ready
    assert view.build == "triton 2.51.0"
    assert view.models == {name: ServedModel(("1",), 4) for name in ("double", "triple")}
    server.stop()
    wait_until(lambda: probe.look() == ServerView(False, refused=True))
    probe.close()


def test_a_busy_server_is_given_patience_and_a_dead_one_is_not() -> None:
    good, slow, dead = ServerView(True, {"m": ServedModel()}), ServerView(False), ServerView(False, refused=True)
    readiness = Readiness(patience=3)
    shown = [readiness.update(view).ready for view in (slow, good, slow, slow, good, slow, slow, slow, good, dead)]
    assert shown == [False, True, True, True, True, True, True, False, True, False]


def test_wrong_use_of_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "model_plugins.discovery.announce", "--triton-grpc", "nonsense", "--zookeeper", "h:1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'nonsense' is not HOST:PORT" in done.stderr
    assert parse_address("[::1]:8001") == ("::1", 8001)
