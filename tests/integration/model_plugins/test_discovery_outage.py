"""What calls see of a dead ZooKeeper, of a start without one, of a server that leaves, and of very many servers."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from kazoo.client import KazooClient
from model_servers import KServe, ZooKeeper, wait_until

from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.announcer import Announcer
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.endpoint_snapshot import EndpointSnapshots
from model_plugins.discovery.instances import Endpoint, Payload, ServedModel, ServiceInstance, decode, service_path
from model_plugins.discovery.zookeeper_access import Access
from model_plugins.protocol import ModelRef

Start = Callable[..., KServe]
ROOT = Path(__file__).parents[3]
DOUBLE = ModelRef(name="double", inputs={"in": ("FP32", (3,))}, outputs=("out",), max_batch=4)


def instance(model: str, ident: str, port: int, fixed: bool = True) -> ServiceInstance:
    payload = Payload(models={model: ServedModel(("1",), 8)}, fixed=fixed)
    return ServiceInstance(name=model, id=ident, address="127.0.0.1", port=port, payload=payload, registration_time=1)


class Load:
    """Calls `double` one after another in four lanes, in a thread of its own, until told to stop."""

    def __init__(self, directory: EndpointDirectory) -> None:
        self.directory = directory
        self.done = 0
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def go_on(self, calls: int) -> None:
        target = self.done + calls
        wait_until(lambda: self.done >= target or self.failed, what="calls go on")

    async def _run(self) -> None:
        client = ModelClient(self.directory)
        await asyncio.gather(*[self._lane(client) for _ in range(4)])
        await client.close()

    async def _lane(self, client: ModelClient) -> None:
        while not self._stop.is_set():
            try:
                piece = [np.ones((1, 3), np.float32)]
                await client.infer(DOUBLE, 1, {"in": piece}, asyncio.get_running_loop().time() + 10)
                self.done += 1
            except Exception as error:
                self.failed.append(error)


@contextmanager
def announcing(quorum: ZooKeeper, server: KServe, tmp_path: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "model_plugins.discovery.announce", "--triton-grpc", server.address]
    command += ["--zookeeper", quorum.address, "--interval", "0.05", "--session-timeout", "4", *more]
    with (tmp_path / f"announce-{server.port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def watching(
    quorum: ZooKeeper, model: str, snapshots: Path | None = None, grace: float = 6.0
) -> Iterator[EndpointDirectory]:
    directory = EndpointDirectory(quorum.address, [model], timeout=4.0, grace=grace, snapshots=snapshots)
    try:
        yield directory
    finally:
        directory.close()


def test_calls_go_on_while_zookeeper_is_dead_and_after_it_forgot_everything(
    quorum: ZooKeeper, kserve: Start, tmp_path: Path
) -> None:
    one, two = kserve(), kserve()
    with (
        announcing(quorum, one, tmp_path),
        announcing(quorum, two, tmp_path),
        watching(quorum, "double") as directory,
    ):
        assert len(directory.wait_for("double", 20, at_least=2)) == 2
        with Load(directory) as load:
            load.go_on(100)
            quorum.kill()
            wait_until(lambda: not directory.connected)
            load.go_on(300)
            quorum.forget()
            quorum.start()
            wait_until(lambda: directory.connected)
            load.go_on(300)
        assert load.failed == []
        client = KazooClient(quorum.address)
        client.start()
        wait_until(lambda: len(client.get_children(service_path("double"))) == 2, 10, "both are announced again")
        client.stop()
        client.close()
        assert one.batches
        assert two.batches


def test_a_cold_start_without_zookeeper_uses_the_snapshot_until_zookeeper_answers(
    quorum: ZooKeeper, kserve: Start, tmp_path: Path
) -> None:
    snapshots = tmp_path / "snapshots"
    kept, moved = kserve(), kserve()
    announcer = Announcer(quorum.address, timeout=4.0)
    announcer.announce([instance("double", "a", kept.port), instance("double", "b", moved.port)])
    with watching(quorum, "double", snapshots) as first:
        assert len(first.wait_for("double", 10, at_least=2)) == 2
    announcer.announce([instance("double", "a", kept.port)])
    assert announcer.wait_settled(10)
    quorum.kill()
    with watching(quorum, "double", snapshots) as cold:
        assert len(cold.endpoints("double")) == 2, "as it was"
        assert not cold.connected
        with Load(cold) as load:
            load.go_on(20)
        assert load.failed == []
        quorum.start()
        wait_until(lambda: [each.address for each in cold.endpoints("double")] == [kept.address], what="replaced")
    announcer.close()


def test_an_empty_zookeeper_does_not_replace_the_snapshot_at_once(quorum: ZooKeeper, tmp_path: Path) -> None:
    """A rebuilt one has nobody in it until the announcers have noticed."""
    endpoint = Endpoint(id="a", model="m", address="127.0.0.1:1")
    EndpointSnapshots(tmp_path, quorum.address).save("m", {"a": endpoint}, time.time())
    with watching(quorum, "m", tmp_path, grace=1.5) as directory:
        wait_until(lambda: directory.counts.listings > 0)
        assert directory.endpoints("m") == (endpoint,)
        wait_until(lambda: directory.endpoints("m") == (), 10, "and in the end ZooKeeper is right")
    assert EndpointSnapshots(tmp_path, quorum.address).load("m", time.time()) == {}


def test_snapshots_of_others_and_broken_ones_are_not_used(tmp_path: Path) -> None:
    endpoint = Endpoint(id="a", model="a/b", address="h:1", versions=("1", "2"), zone="z", weight=2.0)
    ours = EndpointSnapshots(tmp_path / "deep" / "folder", "zk:1")
    assert ours.load("a/b", 0.0) == {}
    ours.save("a/b", {"a": endpoint}, 5.0)
    assert ours.load("a/b", 9.0) == {"a": endpoint}
    assert [each.name for each in ours.path("a/b").parent.iterdir()] == ["a%2Fb.json"]
    assert EndpointSnapshots(tmp_path / "deep" / "folder", "zk:2").load("a/b", 9.0) == {}
    ours.path("a/b").write_bytes(ours.path("a/b").read_bytes()[:-20])
    assert ours.load("a/b", 9.0) == {}
    (tmp_path / "file").write_text("")
    EndpointSnapshots(tmp_path / "file", "zk:1").save("m", {}, 5.0)  # cannot be written: no reason to stop


def test_draining_comes_first_and_nothing_fails(quorum: ZooKeeper, kserve: Start, tmp_path: Path) -> None:
    leaving, staying = kserve(), kserve()
    with (
        announcing(quorum, leaving, tmp_path, "--drain", "1.5") as process,
        announcing(quorum, staying, tmp_path),
        watching(quorum, "double") as directory,
    ):
        assert len(directory.wait_for("double", 20, at_least=2)) == 2
        client = KazooClient(quorum.address)
        client.start()

        def states() -> dict[int, list[str]]:
            folder = service_path("double")
            found: dict[int, list[str]] = {}
            for name in client.get_children(folder):
                data = client.retry(client.get, f"{folder}/{name}")[0]
                each = decode(data)
                found.setdefault(each.port, []).append(each.payload.state if each.payload else "")
            return found

        with Load(directory) as load:
            load.go_on(50)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: [each.address for each in directory.endpoints("double")] == [staying.address])
            assert states() == {leaving.port: ["draining"], staying.port: ["ready"]}, "it is still there"
            assert process.poll() is None
            before = len(leaving.batches)
            load.go_on(50)
            assert len(leaving.batches) <= before + 4, "no new calls"
            assert process.wait(10) == 0
            wait_until(lambda: states() == {staying.port: ["ready"]})
            leaving.stop()
            load.go_on(50)
        assert load.failed == []
        client.stop()
        client.close()


def test_a_second_signal_cuts_the_draining_short(quorum: ZooKeeper, kserve: Start, tmp_path: Path) -> None:
    server = kserve()
    with announcing(quorum, server, tmp_path, "--drain", "60") as process, watching(quorum, "double") as directory:
        assert directory.wait_for("double", 20)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not directory.endpoints("double"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(("access", "fixed"), [(Access(), True), (Access(), False), (Access("u", "p"), True)])
def test_reads_follow_changes_and_not_the_number_of_instances(quorum: ZooKeeper, access: Access, fixed: bool) -> None:
    """300 join and leave one by one: a read for each change, not for each instance at each change."""
    many = 300
    nodes = [instance("m", f"i{number:04}", 2000 + number, fixed) for number in range(many)]
    directory = EndpointDirectory(quorum.address, ["m"], timeout=10.0, grace=1.0, access=access)
    announcer = Announcer(quorum.address, access=access)
    announcer.announce(nodes[:1])
    assert directory.wait_for("m", 20)
    server = KazooClient(quorum.address, auth_data=access.auth_data)
    server.start()
    before, started = msgspec.structs.replace(directory.counts), time.monotonic()
    for node in nodes[1:]:
        server.create(node.path, node.encode(), acl=access.acl(), ephemeral=True)
    assert len(directory.wait_for("m", 20, at_least=many)) == many
    for node in nodes[1:]:
        server.delete(node.path)
    wait_until(lambda: len(directory.endpoints("m")) == 1)
    counts, looks = directory.counts, (time.monotonic() - started) / 0.1 + 3
    per_join = 1 if fixed else 2
    assert counts.nodes - before.nodes <= per_join * many
    assert counts.acls - before.acls <= (many if access.user else 0)
    assert counts.listings - before.listings <= looks, "events of a moment share a listing"
    if fixed:
        assert counts.events - before.events <= looks, "one watch, set again once per look"
    for each in (directory, announcer):
        each.close()
    server.stop()
    server.close()
