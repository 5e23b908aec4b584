"""The system under test: local stack, session cluster with a spare TaskManager, a job that runs, proxies if wanted."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fault_matrix.cluster import START_SECONDS, SpareCluster
from fault_matrix.feed import Outlet, WatchedFolder
from fault_matrix.results import CommittedFiles, Results
from kazoo.client import KazooClient
from model_servers import wait_until
from sosie_system import sosie, write_spec
from tcp_proxy import TcpProxy

from deploy import stack
from deploy.addresses import Addresses, GivenAddresses
from deploy.ports import LOOPBACK, choose
from pipeline.flink.environment import prepare_gateway

PLUGINS = ["image-embedding", "image-pdq", "video-embedding", "text-embedding"]
PROXIED = ("zookeeper", "redis", "index", "triton")
CHROOT = "/behind-proxies"
FLINK = frozenset({"taskmanager", "jobmanager", "python-worker"})
INPUT, OUTPUT = "faults-in", "faults-out"
"""Topics."""


class Bed:
    """Everything that a case needs. A context manager: what it started ends with the block.

    Args:
        folder: for state, input, output and logs.
        proxied: whether the job reaches ZooKeeper, Redis, index and Triton through proxies. It does so by a state
            folder of its own, to which these are servers that run elsewhere.
    """

    def __init__(self, folder: Path, proxied: bool = False, kafka: bool = False, running: Path | None = None) -> None:
        self.folder = folder.resolve()
        self._proxied, self.kafka = proxied, kafka
        self._open = contextlib.ExitStack()
        self.proxies: dict[str, TcpProxy] = {}
        self._running = running
        self.stack_state = running or self.folder / "state"
        self.job_state = self.folder / "front" if proxied else self.stack_state
        self.input = self.folder / "input"
        self.outlet: Outlet
        self.results: Results
        self.servers: Addresses
        self.cluster: SpareCluster

    def __enter__(self) -> Bed:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _start(self) -> None:
        if self._running is None:
            self._open.callback(stack.down, self.stack_state)
        self.servers = stack.up(self.stack_state, GivenAddresses(), kafka=self.kafka and not self._proxied)
        if self._proxied:
            self._start_proxies()
        self.input.mkdir(exist_ok=True)
        if self.kafka:
            self._open_topics(self.broker.load_address if self._proxied else self.servers.kafka)
        else:
            self.outlet = WatchedFolder(self.input)
            self.results = CommittedFiles(self.folder / "out-faults" / "results")
        # Not through a proxy: what a broken network does to Flink's own leadership is Flink's to prove.
        self.cluster = SpareCluster(self.folder / "flink", self.servers.zookeeper)
        self._open.callback(self.cluster.stop)
        self.submit()
        self.results.start()
        self._open.callback(self.results.end)

    def submit(self) -> None:
        """Start the job."""
        ends: dict[str, Any] = {"source": {"kind": "files", "path": "input", "watch": True}}
        if self.kafka:
            ends["source"] = {"kind": "kafka", "topics": [INPUT], "start": "earliest", "base": "input"}
            ends["sink"] = {"kind": "kafka", "topic": OUTPUT}
        spec = write_spec(self.folder, "faults", plugins=PLUGINS, **ends)
        said = sosie("submit", spec, "--cluster", self.cluster.rest_url, "--state", self.job_state, "--json", code=0)
        self.job_id: str = json.loads(said.stdout)["job_id"]
        self.cluster.await_whole(self.job_id)

    def _open_topics(self, bootstrap: str) -> None:
        # Late: importing Flink takes two seconds, which watched files need not wait for.
        from fault_matrix.topics import IntoTopic, OutOfTopic, make_topics

        prepare_gateway(self.folder / "log")
        make_topics(bootstrap)
        self.outlet = IntoTopic(bootstrap)
        self.results = OutOfTopic(bootstrap)

    def _start_broker(self) -> str:
        """A broker behind a proxy; the proxy's address."""
        from fault_matrix.topics import Broker

        [port] = choose(1, random.Random())
        proxy = self.proxies["kafka"] = self._open.enter_context(TcpProxy(f"{LOOPBACK}:{port}"))
        self.broker = Broker(self.folder / "kafka", port, proxy.address)
        self._open.callback(self.broker.stop)
        return proxy.address

    def _start_proxies(self) -> None:
        servers = {
            "zookeeper": self.servers.zookeeper,
            "redis": urlsplit(self.servers.redis).netloc,
            "index": self.servers.index,
            "triton": self.servers.triton,
        }
        for name in PROXIED:
            self.proxies[name] = self._open.enter_context(TcpProxy(servers[name]))
        client = KazooClient(hosts=self.servers.zookeeper)
        client.start(timeout=10)
        client.ensure_path(CHROOT)
        client.stop()
        client.close()
        # The proxy's address is announced straight to ZooKeeper: the announcer is not what the network is spoiled for.
        self._beside(
            "model_plugins.discovery.announce",
            *("--triton-grpc", self.proxies["triton"].address),
            *("--zookeeper", self.servers.zookeeper + CHROOT),
        )
        given = GivenAddresses(
            zookeeper=self.proxies["zookeeper"].address + CHROOT,
            redis=f"redis://{self.proxies['redis'].address}/0",
            index=self.proxies["index"].address,
            triton=self.proxies["triton"].address,
            kafka=self._start_broker() if self.kafka else "",
        )
        self._open.callback(stack.down, self.job_state)
        stack.up(self.job_state, given)
        # Reconciliation reads the index's log, and a job the index's policies, where the state folder is.
        (self.job_state / "index").symlink_to(self.stack_state / "index")
        # A stack of which every server runs elsewhere starts no pump, and this job is not waited for by who submits it.
        self._beside("reconcile.retry.server", "--state", str(self.job_state), "--redis", given.redis)

    def _beside(self, module: str, *arguments: str) -> None:
        """A program that runs as long as the bed."""
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-P", "-m", module, *arguments], stdout=log, stderr=log)
        self._open.callback(process.wait, 20)
        self._open.callback(process.terminate)

    def kill_part(self, name: str) -> list[str]:
        """`kill -9` of a part of the local stack; its supervisor starts it again. The broker behind a proxy is ours."""
        if name == "kafka" and "kafka" in self.proxies:
            return [f"kafka {self.broker.kill()}"]

        def pid_of() -> int | None:
            return next((part.pid for part in stack.status(self.stack_state) if part.name == name), None)

        wait_until(lambda: bool(pid_of()), START_SECONDS, f"{name} runs")
        pid = pid_of()
        assert pid, f"{name} ended at once"
        os.kill(pid, signal.SIGKILL)
        return [f"{name} {pid}"]

    def can(self, what: Sequence[str], server: str) -> bool:
        """Whether these parts are there to be killed, and a proxy stands before that server."""
        there = {part.name for part in stack.status(self.stack_state)} | FLINK | (self.proxies.keys() & {"kafka"})
        return set(what) <= there and (not server or server in self.proxies)

    def await_whole(self, seconds: float = START_SECONDS) -> None:
        """Wait until everything is as it was before the fault.

        Raises:
            AssertionError: something is not.
        """
        wait_until(
            lambda: all(part.state == "running" for part in stack.status(self.stack_state)), seconds, "all parts run"
        )
        self.cluster.await_whole(self.job_id, seconds)
