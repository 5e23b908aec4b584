"""A Kafka broker in KRaft mode: broker and controller in one process, data in `STATE/kafka`, loopback only."""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from deploy.jars import maven
from deploy.java import clean_environment, java
from deploy.parts.part import Launch, Part, Site, Unhealthy
from deploy.ports import LOOPBACK
from materials.errors import SosieError

NAME = "kafka"
STORAGE_TOOL = "kafka.tools.StorageTool"
SERVER = "kafka.Kafka"
_FORMAT_SECONDS = 90.0
_API_VERSIONS = 18


def configuration(client: int, controller: int, more: Mapping[str, str] | None = None) -> str:
    """`server.properties` of a broker for one machine. Folders are relative to the working folder.

    Args:
        client, controller: its ports.
        more: settings that come on top, or replace one of these.
    """
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listeners": f"CLIENT://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{client}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "./data",
        # A misspelt topic must be told, and not be made. Clients make the ones they mean.
        "auto.create.topics.enable": "false",
        "num.partitions": 2,
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # An input line may have 1 MiB; its batch is a little longer.
        "message.max.bytes": 2 << 20,
        "replica.fetch.max.bytes": 2 << 20,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 4 << 20,
    }
    settings.update(more or {})
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def class_path() -> str:
    """The broker's jars.

    Raises:
        UsageError: one is absent and cannot be fetched.
    """
    return os.pathsep.join(str(jar) for jar in maven.ensure("broker"))


def java_command(main: str, *arguments: str) -> list[str]:
    """A program of Kafka's. 256 MB of heap carry a few thousand records a second."""
    options = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true"]
    options += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
    return [str(java()), *options, "-cp", class_path(), main, *arguments]


def prepare(folder: Path, properties: str) -> None:
    """Write the configuration, and format the data folder when it is new. What is there already stays.

    Raises:
        SosieError: Kafka's own tool could not format it; with its last line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.properties").write_text(properties)
    if (folder / "data" / "meta.properties").is_file():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # An id that begins with a dash would be read as an option.
    command = java_command(STORAGE_TOOL, "format", f"--cluster-id={cluster}", "--config=server.properties")
    done = subprocess.run(
        command,
        env=clean_environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_FORMAT_SECONDS,
        check=False,
    )
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise SosieError(f"Kafka's data folder could not be formatted: {told[-1] if told else 'no message'}")


def launch(site: Site) -> Launch:
    """Format the data folder the first time, and say how to start the broker."""
    folder = site.state / NAME
    prepare(folder, configuration(site.port(NAME, "client"), site.port(NAME, "controller")))
    return Launch(java_command(SERVER, "server.properties"), clean_environment(), folder)


def check(site: Site) -> None:
    """The broker answers its clients, which it does only once it has joined its quorum.

    Raises:
        Unhealthy: it answers with an error.
    """
    check_broker(LOOPBACK, site.port(NAME, "client"), 3.0)


def check_broker(host: str, port: int, seconds: float) -> None:
    """Ask a broker which requests it knows (ApiVersions, version 0), the one question that needs no login.

    Raises:
        OSError: nobody answers.
        Unhealthy: whoever answers is no Kafka broker, or not well.
    """
    client = b"sosie"
    request = struct.pack(">hhih", _API_VERSIONS, 0, 7, len(client)) + client
    with socket.create_connection((host, port), timeout=seconds) as connection:
        connection.settimeout(seconds)
        connection.sendall(struct.pack(">i", len(request)) + request)
        head = b""
        while len(head) < 10 and (chunk := connection.recv(10 - len(head))):
            head += chunk
    if len(head) < 10:
        raise Unhealthy("no answer to ApiVersions")
    _, correlation, code = struct.unpack(">iih", head)
    if correlation != 7 or code:
        raise Unhealthy(f"ApiVersions answers {code}" if correlation == 7 else "whoever answers is no Kafka broker")


PART = Part(
    NAME,
    ("client", "controller"),
    launch,
    check,
    lambda site: site.local(NAME, "client"),
    start_seconds=120,
    stop_seconds=20,
)
