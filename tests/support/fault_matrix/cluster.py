"""The session cluster under test: high availability in ZooKeeper, a spare TaskManager, watched; and how it is hurt."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from model_servers import wait_until

from deploy import flink
from deploy.processes import ProcessId, marked

START_SECONDS = 240.0
TASK_MANAGERS = 2
WORKER = "pyflink.fn_execution.beam"


class SpareCluster:
    """One JobManager, two TaskManagers of one slot: the job needs one, the other one is spare. What dies is started
    again by the cluster's own watch.

    Args:
        zookeeper: `host:port`, for the JobManager's high availability.
    """

    def __init__(self, folder: Path, zookeeper: str) -> None:
        self.folder = folder.resolve()
        self._cluster = flink.start_session_cluster(
            folder, slots=1, taskmanagers=TASK_MANAGERS, zookeeper=zookeeper, watched=True
        )
        self.rest_url = self._cluster.rest_url

    def stop(self) -> None:
        """End everything, Python workers included."""
        self._cluster.stop()

    def is_whole(self, job_id: str) -> bool:
        """Whether the spare slot is there and all tasks of the job run."""
        if self.ask("/overview").get("slots-total", 0) != TASK_MANAGERS:
            return False
        found = self.ask(f"/jobs/{job_id}")
        return found.get("state") == "RUNNING" and all(each["status"] == "RUNNING" for each in found["vertices"])

    def await_whole(self, job_id: str, seconds: float = START_SECONDS) -> None:
        """Wait for that.

        Raises:
            AssertionError: it is not so in time.
        """
        wait_until(lambda: self.is_whole(job_id), seconds, f"the job runs, with a slot to spare; see {self.folder}/log")

    def await_checkpoint(self, job_id: str, seconds: float = START_SECONDS) -> None:
        """Wait for a checkpoint that began after the call: the ledger's rows are committed with it.

        Raises:
            AssertionError: none completes in time.
        """
        began = time.time() * 1000

        def completed() -> bool:
            latest = self.ask(f"/jobs/{job_id}/checkpoints").get("latest", {}).get("completed")
            return latest is not None and latest["trigger_timestamp"] > began

        wait_until(completed, seconds, "a checkpoint")

    def ask(self, path: str) -> dict[str, Any]:
        """The REST server's answer, or nothing."""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            return flink.rest_get(self.rest_url, path)
        return {}

    def kill_job_manager(self) -> list[str]:
        """`kill -9`; the next one takes the job up again from its last checkpoint."""
        process = flink.main_process(self.folder, "jobmanager")
        if process is None:
            raise AssertionError("no JobManager runs")
        os.kill(process.pid, signal.SIGKILL)
        return [f"JobManager {process.pid}"]

    def kill_task_manager(self) -> list[str]:
        """`kill -9` of the one that runs the job, which may just be starting again after a fault before this one."""
        wait_until(lambda: any(self._workers()), START_SECONDS, "a TaskManager that runs the job")
        for name in flink.task_manager_names(TASK_MANAGERS):
            process = flink.main_process(self.folder, name)
            if process is not None and any(mark == f"{self.folder}#{name}" for _, mark in self._workers()):
                os.kill(process.pid, signal.SIGKILL)
                return [f"TaskManager {process.pid}"]
        raise AssertionError("no TaskManager runs the job")

    def kill_workers(self) -> list[str]:
        """`kill -9` of every Python worker, as soon as there is one: they end by themselves with their TaskManager."""
        killed: list[str] = []

        def kill() -> bool:
            for process, _ in self._workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(f"Python worker {process.pid}")
            return bool(killed)

        wait_until(kill, START_SECONDS, "a Python worker to kill")
        return killed

    def _workers(self) -> Iterator[tuple[ProcessId, str]]:
        """Python workers, each with the mark of its TaskManager."""
        for process, mark in marked(f"{self.folder}#taskmanager"):
            with contextlib.suppress(psutil.Error):
                if WORKER in " ".join(psutil.Process(process.pid).cmdline()):
                    yield process, mark
