"""Calls, announcements and reads while ZooKeeper dies, sessions expire and very many instances come and go.

    .venv/bin/python benchmarks/zookeeper_outage.py [--outage 60] [--instances 1000] [--calls-per-second 20]

A real ZooKeeper, a real Triton, its announcer in a process of its own, and the same model client as in the operators.
The last line is JSON: `failed_calls` of `calls` (a cold-started second client's `cold_calls` among them), `outage_s`,
`back_s` (ZooKeeper serving again, empty, until the model is announced), `expiry_back_s` (the announcer was stopped
until its session expired; from SIGCONT until the model is announced), and of `instances` that joined and left one by
one: `changes`, `reads`, `listings`, `events`, `reads_per_change`, `storm_s`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
from kazoo.client import KazooClient

from benchmarks.killable_zookeeper import KillableZooKeeper
from deploy import stack
from deploy.addresses import GivenAddresses
from deploy.parts import announcer as announcer_part
from model_plugins.builtin.image_embedding import ImageEmbedding
from model_plugins.client.model_client import ModelClient
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.discovery.instances import Payload, ServedModel, ServiceInstance, service_path
from model_plugins.protocol import ModelRef

_POLL_S = 0.02


class Load(threading.Thread):
    """Calls of one row at a steady rate, each in its own task, in an event loop of its own."""

    def __init__(self, directory: EndpointDirectory, model: ModelRef, per_second: float) -> None:
        super().__init__(daemon=True)
        self._directory, self._model, self._period = directory, model, 1 / per_second
        self._stop_asked = threading.Event()
        self.done = 0
        self.failed: list[str] = []

    def run(self) -> None:
        """Until `finish`."""
        asyncio.run(self._calls())

    def finish(self) -> None:
        """No more calls; returns when those in flight have ended."""
        self._stop_asked.set()
        self.join()

    async def _calls(self) -> None:
        client = ModelClient(self._directory)
        loop = asyncio.get_running_loop()
        under_way: set[asyncio.Task[None]] = set()
        due = loop.time()
        while not self._stop_asked.is_set():
            task = asyncio.create_task(self._one(client))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due += self._period
            await asyncio.sleep(max(0.0, due - loop.time()))
        await asyncio.gather(*under_way)
        await client.close()

    async def _one(self, client: ModelClient) -> None:
        tensors = {
            name: [np.zeros((1, *shape), np.uint8 if dtype == "UINT8" else np.float32)]
            for name, (dtype, shape) in self._model.inputs.items()
        }
        try:
            await client.infer(self._model, 1, tensors, asyncio.get_running_loop().time() + 10)
            self.done += 1
        except Exception as error:
            self.failed.append(repr(error))


def wait_for(condition: Callable[[], Any], timeout: float) -> float:
    """Seconds until it holds.

    Raises:
        TimeoutError: it does not.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout:
            raise TimeoutError(f"not within {timeout} s")
        time.sleep(_POLL_S)
    return time.monotonic() - started


def announced(quorum: KillableZooKeeper, model: str) -> set[str]:
    """The instances that stand in ZooKeeper now."""
    client = KazooClient(quorum.address)
    client.start(timeout=15)
    try:
        path = service_path(model)
        return set(client.get_children(path)) if client.exists(path) else set()
    finally:
        client.stop()
        client.close()


def outage(
    quorum: KillableZooKeeper, model: ModelRef, seconds: float, per_second: float, folder: Path
) -> dict[str, Any]:
    """Kill ZooKeeper under load; it comes back empty."""
    snapshots = folder / "snapshots"
    directory = EndpointDirectory(quorum.address, snapshots=snapshots)
    directory.wait_for(model.name, 30)
    load = Load(directory, model, per_second)
    load.start()
    wait_for(lambda: load.done >= per_second * 2, 60)
    wait_for(lambda: any(snapshots.glob("*.json")), 10)
    quorum.kill()
    killed = time.monotonic()
    wait_for(lambda: not directory.connected, 30)
    cold = EndpointDirectory(quorum.address, snapshots=snapshots)  # a worker that starts meanwhile
    cold_load = Load(cold, model, per_second / 4)
    cold_load.start()
    time.sleep(max(0.0, seconds - (time.monotonic() - killed)))
    quorum.forget()
    quorum.start()
    lasted = time.monotonic() - killed
    served = time.monotonic()
    wait_for(lambda: announced(quorum, model.name), 60)
    back = time.monotonic() - served
    wait_for(lambda: directory.connected and cold.connected, 60)
    after = load.done
    wait_for(lambda: load.done >= after + per_second * 20 or load.failed, 120)  # beyond the grace
    for each in (load, cold_load):
        each.finish()
    for opened in (directory, cold):
        opened.close()
    return {
        "outage_s": round(lasted, 1),
        "calls": load.done + cold_load.done + len(load.failed) + len(cold_load.failed),
        "cold_calls": cold_load.done,
        "failed_calls": len(load.failed) + len(cold_load.failed),
        "failures": (load.failed + cold_load.failed)[:3],
        "back_s": round(back, 2),
    }


def expiry(quorum: KillableZooKeeper, model: str, announcer_pid: int) -> dict[str, Any]:
    """Stop the announcer until ZooKeeper has given its session up, and let it go on."""
    wait_for(lambda: announced(quorum, model), 30)
    os.kill(announcer_pid, signal.SIGSTOP)
    try:
        expired = wait_for(lambda: not announced(quorum, model), 60)
    finally:
        os.kill(announcer_pid, signal.SIGCONT)
    return {
        "expired_after_s": round(expired, 1),
        "expiry_back_s": round(wait_for(lambda: announced(quorum, model), 60), 2),
    }


def storm(quorum: KillableZooKeeper, instances: int) -> dict[str, Any]:
    """Instances join and leave one by one, each change a transaction of its own; one client watches."""
    directory = EndpointDirectory(quorum.address, ["storm"])
    servers = KazooClient(quorum.address)
    servers.start()
    nodes = [
        ServiceInstance(
            name="storm",
            id=f"{number:05}",
            address=f"10.0.{number // 250}.{number % 250}",
            port=8001,
            payload=Payload(models={"storm": ServedModel(("1",), 8)}, fixed=True),
        )
        for number in range(instances)
    ]
    servers.create(nodes[0].path, nodes[0].encode(), ephemeral=True, makepath=True)
    directory.wait_for("storm", 30)
    before, started = msgspec.structs.replace(directory.counts), time.monotonic()
    for node in nodes[1:]:
        servers.create(node.path, node.encode(), ephemeral=True)
    wait_for(lambda: len(directory.endpoints("storm")) == instances, 60)
    for node in nodes[1:]:
        servers.delete(node.path)
    wait_for(lambda: len(directory.endpoints("storm")) == 1, 60)
    seconds, counts, changes = time.monotonic() - started, directory.counts, 2 * (instances - 1)
    servers.stop()
    servers.close()
    directory.close()
    return {
        "instances": instances,
        "changes": changes,
        "reads": counts.reads - before.reads,
        "listings": counts.listings - before.listings,
        "events": counts.events - before.events,
        "reads_per_change": round((counts.reads - before.reads) / changes, 3),
        "storm_s": round(seconds, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--calls-per-second", type=float, default=20.0)
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # its many warnings are what is being made
    model = ImageEmbedding().manifest.model
    assert model is not None
    with tempfile.TemporaryDirectory(prefix="sosie-outage-") as name:
        folder = Path(name)
        quorum = KillableZooKeeper(folder)
        quorum.start()
        try:
            state = folder / "state"
            stack.up(state, GivenAddresses(zookeeper=quorum.address))
            try:
                [pid] = [each.pid for each in stack.status(state) if each.name == announcer_part.NAME and each.pid]
                figures = outage(quorum, model, given.outage, given.calls_per_second, folder)
                print(figures, flush=True)
                figures |= expiry(quorum, model.name, pid)
                print(figures, flush=True)
                figures |= storm(quorum, given.instances)
            finally:
                stack.down(state)
        finally:
            quorum.kill()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
