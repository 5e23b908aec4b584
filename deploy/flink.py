"""A Flink session cluster on this machine, from the wheel's jars: a JobManager, TaskManagers, no shell scripts.

Every process carries the mark `FOLDER#NAME`, by which it is found again; a Python worker has that of its TaskManager.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import psutil
import yaml

from deploy.flink_configuration import Memory, link_library, settings, write_configuration
from deploy.java import clean_environment, flink_home, flink_lib, flink_python_jar, java, java_home
from deploy.ports import LOOPBACK, choose, is_free
from deploy.processes import MARK, POLL_SECONDS, ProcessId, alive, end, marked, spawn_detached
from materials.errors import SosieError

__all__ = [
    "SessionCluster",
    "client_command",
    "client_environment",
    "end_leftovers",
    "ensure_watch",
    "find_session_cluster",
    "flink_home",
    "flink_lib",
    "flink_python_jar",
    "java",
    "java_home",
    "main_process",
    "read_session_cluster",
    "spawn_process",
    "start_session_cluster",
    "stop_session_cluster",
    "task_manager_names",
]
JOBMANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASKMANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
WATCH = "watch"
CLIENT = "org.apache.flink.client.cli.CliFrontend"
START_SECONDS = 120.0
# In the middle of its exec a process shows no environment, so no mark: one look says nothing.
MISSING_LOOKS = 10
_OF_WORKERS = (
    "SOSIE_ZOOKEEPER_AUTH_FILE",
    "SOSIE_INDEX_TOKEN_FILE",
    "SOSIE_INDEX_CA",
    "SOSIE_INDEX_CERT",
    "SOSIE_INDEX_KEY",
    "SOSIE_PLUGIN_ALLOW",
    "SOSIE_LIBRARY",
    "SOSIE_ZONE",
    "SOSIE_METRICS_BIND",
    "SOSIE_METRICS_ADVERTISE",
)
_PREFIXES = ("AWS_", "SOSIE_KAFKA_")


class SessionCluster(msgspec.Struct, frozen=True):
    """A running cluster. A context manager: it stops at the end of the block.

    Attributes:
        folder: its configuration (`conf`), class path (`lib`), logs, temporary files and checkpoints.
        rest_url: `http://127.0.0.1:port`, for `sosie submit --cluster`.
        slots: of each TaskManager.
        taskmanagers: how many there are.
        memory: of the processes.
        watched: whether `deploy.flink_watch` starts again what dies.
    """

    folder: Path
    rest_url: str
    slots: int
    taskmanagers: int = 1
    memory: Memory = Memory()
    watched: bool = False

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of its JVMs, the JobManager first."""
        return ("jobmanager", *task_manager_names(self.taskmanagers))

    def overview(self) -> dict[str, Any]:
        """Flink's `/overview`: task managers, slots, jobs by state.

        Raises:
            OSError: it does not answer.
        """
        return rest_get(self.rest_url, "/overview")

    def stop(self) -> None:
        """End it, Python workers included."""
        stop_session_cluster(self.folder)

    def __enter__(self) -> SessionCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_session_cluster(
    folder: Path,
    slots: int = 2,
    memory: Memory | None = None,
    rng: random.Random | None = None,
    *,
    taskmanagers: int = 1,
    zookeeper: str = "",
    watched: bool = False,
) -> SessionCluster:
    """Start a cluster and wait until its slots are there. One that runs in this folder already is stopped first.

    Args:
        slots: of each TaskManager.
        taskmanagers: one more than the jobs need goes on with them at once when another dies.
        zookeeper: `host:port[,host:port…][/chroot]` for high availability; empty: a JobManager's death ends its jobs.
        watched: start again what dies, and end the Python workers that it leaves behind.

    Raises:
        SosieError: it does not come up; names the log.
    """
    folder = folder.absolute().resolve()
    memory, rng = memory or Memory(), rng or random.Random()
    stop_session_cluster(folder)
    rpc_port, rest_port = _earlier_ports(folder) or choose(2, rng)
    for name in ("log", "tmp", "work", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_configuration(folder / "conf", settings(folder, slots, rpc_port, rest_port, memory, zookeeper))
    link_library(folder / "lib")
    cluster = SessionCluster(folder, f"http://{LOOPBACK}:{rest_port}", slots, taskmanagers, memory, watched)
    for name in cluster.processes:
        spawn_process(cluster, name)
    try:
        _await_slots(cluster)
    except SosieError:
        stop_session_cluster(folder)
        raise
    (folder / "cluster.json").write_bytes(msgspec.json.encode(cluster, enc_hook=str))
    if watched:
        ensure_watch(cluster)
    return cluster


def task_manager_names(count: int) -> tuple[str, ...]:
    """`taskmanager`, `taskmanager-2` …"""
    return tuple("taskmanager" if number == 1 else f"taskmanager-{number}" for number in range(1, count + 1))


def read_session_cluster(folder: Path) -> SessionCluster:
    """What was started in this folder, whether or not it lives.

    Raises:
        OSError, ValueError: nothing is written down there.
    """
    folder = folder.absolute().resolve()
    return msgspec.json.decode(
        (folder / "cluster.json").read_bytes(), type=SessionCluster, dec_hook=lambda kind, value: kind(value)
    )


def ensure_watch(cluster: SessionCluster) -> None:
    """Start the cluster's watch, where none runs."""
    if marked(mark := f"{cluster.folder}#{WATCH}"):
        return
    argv = [sys.executable, "-P", "-m", "deploy.flink_watch", "--folder", str(cluster.folder)]
    environment = clean_environment({MARK: mark} | worker_variables(os.environ))
    spawn_detached(argv, environment, cluster.folder, cluster.folder / "log" / "watch.log")


def main_process(folder: Path, name: str) -> ProcessId | None:
    """The JVM of that name; the Python workers of a TaskManager bear its mark, too."""
    main = JOBMANAGER if name == "jobmanager" else TASKMANAGER
    for process, mark in marked(f"{folder}#{name}"):
        if mark == f"{folder}#{name}":
            with contextlib.suppress(psutil.Error, OSError):
                if main in psutil.Process(process.pid).cmdline():
                    return process
    return None


def end_leftovers(folder: Path, name: str) -> int:
    """End what a dead JVM left behind; returns how many there were."""
    left = [process for process, mark in marked(f"{folder}#{name}") if mark == f"{folder}#{name}"]
    end(left, 2)
    return len(left)


def find_session_cluster(folder: Path) -> SessionCluster | None:
    """The cluster that runs in this folder, if it answers."""
    try:
        cluster = read_session_cluster(folder)
        cluster.overview()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return cluster


def stop_session_cluster(folder: Path) -> list[str]:
    """Stop what runs in this folder: its watch, TaskManagers, JobManager, then orphaned workers. Returns who ran."""
    folder = folder.absolute().resolve()
    prefix = f"{folder}#"
    found = marked(prefix)
    for name in (WATCH, "taskmanager", "jobmanager"):
        end([process for process, mark in found if mark.startswith(prefix + name)], 10)
    end([process for process, _ in marked(prefix)], 2)
    (folder / "cluster.json").unlink(missing_ok=True)
    return sorted({mark.removeprefix(prefix) for _, mark in found})


def client_environment(cluster: SessionCluster) -> dict[str, str]:
    """The environment of a Flink client (`flink run`, CliFrontend) that talks to the cluster."""
    return clean_environment(_flink_variables(cluster.folder))


def client_command(cluster: SessionCluster, *arguments: str) -> list[str]:
    """Flink's command line without its shell script (which wants `rev` and `find`): `run -d -py job.py`, `list` …

    Run it with `client_environment`.
    """
    log = cluster.folder / "log" / "client.log"
    options = ["-Xmx512m", "-XX:+UseSerialGC", *_java_options(cluster.folder), *_logging(cluster.folder, log, "cli")]
    return [str(java()), *options, "-cp", str(cluster.folder / "lib" / "*"), CLIENT, *arguments]


def rest_get(rest_url: str, path: str, seconds: float = 5.0) -> dict[str, Any]:
    """GET a JSON object from a Flink REST server.

    Raises:
        OSError: it does not answer, or not with 200.
    """
    connection = http.client.HTTPConnection(rest_url.removeprefix("http://").rstrip("/"), timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{path} answers {answer.status}")
        found: dict[str, Any] = json.loads(body)
    finally:
        connection.close()
    return found


def worker_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What the workers of a cluster are given of our environment: where credentials, allow list and library are, and
    the secrets that a job's Kafka settings refer to."""
    return {name: value for name, value in environment.items() if name in _OF_WORKERS or name.startswith(_PREFIXES)}


def _flink_variables(folder: Path) -> dict[str, str]:
    home = flink_home()
    return {
        "FLINK_HOME": str(home),
        "FLINK_BIN_DIR": str(home / "bin"),
        "FLINK_OPT_DIR": str(home / "opt"),
        "FLINK_PLUGINS_DIR": str(home / "plugins"),
        "FLINK_LIB_DIR": str(folder / "lib"),
        "FLINK_CONF_DIR": str(folder / "conf"),
        "FLINK_LOG_DIR": str(folder / "log"),
    }


def _java_options(folder: Path) -> list[str]:
    configured = yaml.safe_load((folder / "conf" / "config.yaml").read_text())
    return shlex.split(configured["env.java.opts.all"])


def _logging(folder: Path, log: Path, kind: str = "") -> list[str]:
    file = folder / "conf" / (f"log4j-{kind}.properties" if kind else "log4j.properties")
    return [f"-Dlog.file={log}", f"-Dlog4j.configurationFile={file.as_uri()}"]


def spawn_process(cluster: SessionCluster, name: str) -> None:
    """Start one of the cluster's JVMs."""
    folder, memory = cluster.folder, cluster.memory
    main, sizes = (JOBMANAGER, memory.job_options()) if name == "jobmanager" else (TASKMANAGER, memory.task_options())
    options = [*sizes, *_java_options(folder), *_logging(folder, folder / "log" / f"{name}.log")]
    argv = [str(java()), *options, "-cp", str(folder / "lib" / "*"), main, "--configDir", str(folder / "conf")]
    if main == JOBMANAGER:
        argv += ["--executionMode", "cluster"]
    environment = clean_environment(
        _flink_variables(folder) | {MARK: f"{folder}#{name}"} | worker_variables(os.environ)
    )
    spawn_detached(argv, environment, folder, folder / "log" / f"{name}.out")


def _earlier_ports(folder: Path) -> list[int] | None:
    """RPC and REST port of the cluster that ran here before, while they are free: who knows its address finds it."""
    try:
        before = yaml.safe_load((folder / "conf" / "config.yaml").read_text())
        ports = [int(before["jobmanager.rpc.port"]), int(before["rest.port"])]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return ports if all(map(is_free, ports)) else None


def _await_slots(cluster: SessionCluster) -> None:
    deadline = time.monotonic() + START_SECONDS
    prefix = f"{cluster.folder}#"
    missed = dict.fromkeys(cluster.processes, 0)
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            if cluster.overview().get("slots-total", 0) >= cluster.slots * cluster.taskmanagers:
                return
        running = {mark.removeprefix(prefix) for process, mark in marked(prefix) if alive(process)}
        for name, looks in missed.items():
            missed[name] = 0 if name in running else looks + 1
            if missed[name] >= MISSING_LOOKS:
                raise SosieError(
                    f"Flink's {name} ended at its start; see {cluster.folder / 'log' / name}.log and .out"
                    + _last_lines(cluster.folder / "log" / f"{name}.out")
                )
        time.sleep(POLL_SECONDS)
    raise SosieError(f"the Flink cluster has no slots after {START_SECONDS:g} s; see {cluster.folder / 'log'}")


def _last_lines(log: Path, lines: int = 5) -> str:
    try:
        last = log.read_text(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in last)
