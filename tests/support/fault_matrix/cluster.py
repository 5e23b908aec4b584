"""A session cluster with a spare TaskManager, and a JobManager that finds its job again in ZooKeeper when restarted."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
from pathlib import Path
from typing import Any

import psutil
from model_servers import wait_until

from deploy import flink
from deploy.flink import JOBMANAGER, TASKMANAGER, rest_get
from deploy.flink_configuration import Memory, link_library, settings, write_configuration
from deploy.ports import LOOPBACK, choose
from deploy.processes import marked

START_SECONDS = 90.0
WORKER = "pyflink.fn_execution.beam"


class SpareCluster:
    """One JobManager, two TaskManagers of one slot: the job needs one, the other one is spare.

    Args:
        zookeeper: `host:port`, for the JobManager's high availability.
    """

    def __init__(self, folder: Path, zookeeper: str) -> None:
        self.folder = folder.resolve()
        rpc, rest = choose(2, random.Random())
        self.rest_url = f"http://{LOOPBACK}:{rest}"
        self._memory = Memory()
        self._task_managers = 0
        for name in ("log", "tmp", "work", "checkpoints"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        available = {
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": zookeeper,
            "high-availability.zookeeper.path.root": "/flink",
            "high-availability.cluster-id": "/faults",
            "high-availability.storageDir": (self.folder / "ha").as_uri(),
            "high-availability.jobmanager.port": rpc,
            # A killed leader's entry lives as long as its session; a blink of ZooKeeper must not end the leadership.
            "high-availability.zookeeper.client.session-timeout": "8 s",
            "high-availability.zookeeper.client.tolerate-suspended-connections": "true",
            "heartbeat.interval": "3 s",
            "heartbeat.timeout": "20 s",
        }
        values = settings(self.folder, 1, rpc, rest, self._memory) | available
        write_configuration(self.folder / "conf", values)
        link_library(self.folder / "lib")

    def start(self) -> None:
        """All of it.

        Raises:
            AssertionError: its slots do not come.
        """
        self.start_job_manager()
        self.start_task_manager()
        self.start_task_manager()
        wait_until(lambda: self.slots() == 2, START_SECONDS, f"two slots; see {self.folder / 'log'}")

    def start_job_manager(self) -> None:
        """The only one; after a kill it takes the job up again from its last checkpoint."""
        flink._spawn(self.folder, "jobmanager", self._memory.job_options(), JOBMANAGER)

    def start_task_manager(self) -> None:
        """One more."""
        self._task_managers += 1
        name = f"taskmanager-{self._task_managers}"
        flink._spawn(self.folder, name, self._memory.task_options(), TASKMANAGER)

    def stop(self) -> None:
        """End everything, Python workers included."""
        flink.stop_session_cluster(self.folder)

    def slots(self) -> int:
        """Those there are; 0 while the JobManager does not answer."""
        return int(self.ask("/overview").get("slots-total", 0))

    def ask(self, path: str) -> dict[str, Any]:
        """The REST server's answer, or nothing."""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            return rest_get(self.rest_url, path)
        return {}

    def job_runs(self, job_id: str) -> bool:
        """Whether all its tasks run."""
        found = self.ask(f"/jobs/{job_id}")
        return found.get("state") == "RUNNING" and all(each["status"] == "RUNNING" for each in found["vertices"])

    def checkpoints(self, job_id: str) -> int:
        """Those that were completed."""
        return int(self.ask(f"/jobs/{job_id}/checkpoints").get("counts", {}).get("completed", 0))

    def kill_task_manager(self) -> list[str]:
        """`kill -9` of the one that runs the job, then another one comes to be the spare."""
        for process in self._processes("taskmanager"):
            if any(WORKER in " ".join(_command(child)) for child in process.children(recursive=True)):
                told = f"TaskManager {process.pid}"
                process.send_signal(signal.SIGKILL)
                self.start_task_manager()
                return [told]
        raise AssertionError("no TaskManager runs the job")

    def kill_job_manager(self) -> list[str]:
        """`kill -9`, and start it again."""
        [process] = self._processes("jobmanager")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.start_job_manager()
        return [f"JobManager {process.pid}"]

    def kill_workers(self) -> list[str]:
        """`kill -9` of every Python worker."""
        killed = []
        for process, _ in marked(f"{self.folder}#taskmanager"):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if WORKER in " ".join(_command(psutil.Process(process.pid))):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(f"Python worker {process.pid}")
        if not killed:
            raise AssertionError("no Python worker runs")
        return killed

    def memory(self) -> int:
        """Bytes of resident memory of JobManager, TaskManagers and workers."""
        total = 0
        for process, _ in marked(f"{self.folder}#"):
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(process.pid).memory_info().rss
        return total

    def _processes(self, name: str) -> list[psutil.Process]:
        """The JVMs of that role."""
        found = []
        for process, _ in marked(f"{self.folder}#{name}"):
            with contextlib.suppress(psutil.Error):
                each = psutil.Process(process.pid)
                if "java" in Path(_command(each)[0]).name:
                    found.append(each)
        return found


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline() or [""]
    return [""]
