"""A real broker for tests: KRaft, one node, a plain listener and one that asks for a login.

Kafka's client runs in Flink's JVM, and that beside a child process: pyflink leaves pipes open, which tests forbid.
"""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from deploy.java import clean_environment
from deploy.parts import kafka
from deploy.parts.part import Unhealthy
from deploy.ports import LOOPBACK, choose
from pipeline.flink.environment import prepare_gateway
from pipeline.flink.kafka_admin import KafkaAdmin
from pipeline.flink.kafka_client import Consumed, KafkaConsumer, KafkaProducer
from pipeline.kafka.settings import SHADED

PASSWORD = "herons-of-Arles-7"
START_SECONDS = 90.0
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="sosie" password="{}";'
Sent = tuple[str | None, bytes | None, Mapping[str, bytes]]
P = ParamSpec("P")
R = TypeVar("R")


class Broker:
    """Started by the constructor; `stop` ends it.

    Args:
        folder: data, configuration and logs.
    """

    def __init__(self, folder: Path) -> None:
        client, controller, login = choose(3, random.Random())
        self.folder = folder
        self.address, self.login_address = f"{LOOPBACK}:{client}", f"{LOOPBACK}:{login}"
        more = {
            "listeners": f"CLIENT://{self.address},CONTROLLER://{LOOPBACK}:{controller},LOGIN://{self.login_address}",
            "advertised.listeners": f"CLIENT://{self.address},LOGIN://{self.login_address}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": JAAS.format("")[:-1] + f' user_sosie="{PASSWORD}";',
        }
        kafka.prepare(folder, kafka.configuration(client, controller, more))
        with (folder / "broker.log").open("wb") as log:
            command = kafka.java_command(kafka.SERVER, "server.properties")
            self._process = subprocess.Popen(command, env=clean_environment(), cwd=folder, stdout=log, stderr=log)
        spawn = multiprocessing.get_context("spawn")
        self._child = ProcessPoolExecutor(1, spawn, initializer=prepare_gateway, initargs=(folder / "log",))
        self._await(client)

    def stop(self) -> None:
        """Ended when this returns."""
        self._child.shutdown()
        self._process.terminate()
        self._process.wait(30)

    def ask(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function of a module in the child, where `pipeline.flink` may be used."""
        return self._child.submit(function, *args, **kwargs).result()

    def topics(self, *names: str, partitions: int = 2) -> list[str]:
        """Make them; returns those that were not there."""
        return self.ask(_create, self.address, names, partitions)

    def send(self, topic: str, records: Iterable[Sent]) -> None:
        """Key, value and headers of each."""
        self.ask(_send, self.address, topic, list(records))

    def read(self, topics: Collection[str], count: int, seconds: float = 150.0) -> list[Consumed]:
        """All records of some topics, once there are at least so many; fewer when time is up."""
        return self.ask(_read, self.address, list(topics), count, seconds)

    def _await(self, port: int) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return kafka.check_broker(LOOPBACK, port, 3.0)
            except (OSError, Unhealthy):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError((self.folder / "broker.log").read_text()[-2000:]) from None
                time.sleep(0.05)


def login(password: str) -> dict[str, str]:
    """Properties of a client that logs in; the password as a reference."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": JAAS.format(password),
    }


def by_key(records: Iterable[Consumed]) -> dict[str, Any]:
    """The last record of each key."""
    return {str(record.key): record for record in records}


def visible_topics(address: str, properties: Mapping[str, str]) -> set[str]:
    """Call it through `Broker.ask`, as the next ones."""
    with KafkaAdmin(address, properties) as admin:
        return admin.topics()


class LateAdmin(KafkaAdmin):
    """A busy broker: it tells of what was made after two more questions."""

    asked = 0

    def topics(self) -> set[str]:
        """The first ones only, at first."""
        self.asked += 1
        self.told = super().topics() if self.asked in (1, 4) else self.told
        return self.told


def made_on_a_busy_broker(address: str, topic: str) -> tuple[list[str], set[str]]:
    """What `create` returns, and the last that it was told."""
    with LateAdmin(address, {}) as admin:
        return admin.create([topic], 1, 1), admin.told


def offsets(address: str, topic: str, at: Literal["earliest", "latest"] | int) -> dict[int, int]:
    """Of the topic's partitions."""
    with KafkaAdmin(address, {}) as admin:
        return admin.offsets([topic], at)[topic]


def expire(address: str, topic: str, count: int) -> None:
    """The first records of each partition, as retention does it."""
    with KafkaAdmin(address, {}) as admin:
        gateway, client = admin._gateway, admin._client
        # by reflection: Py4J finds no static method that has the name of another one
        of_long, given = gateway.new_array(gateway.jvm.Class, 1), gateway.new_array(gateway.jvm.Object, 1)
        of_long[0] = gateway.jvm.Long.TYPE
        kind = f"{SHADED}org.apache.kafka.clients.admin.RecordsToDelete"
        before = client.getClass().getClassLoader().loadClass(kind).getMethod("beforeOffset", of_long)
        wanted = gateway.jvm.java.util.HashMap()
        for partition, end in admin.offsets([topic], "latest")[topic].items():
            given[0] = min(count, end)
            wanted.put(admin._kafka.common.TopicPartition(topic, partition), before.invoke(None, given))
        admin._client.deleteRecords(wanted).all().get()


def committed(address: str, group: str) -> dict[str, dict[int, int]]:
    """Of a consumer group."""
    with KafkaAdmin(address, {}) as admin:
        return admin.committed(group)


def commit(address: str, group: str, wanted: Mapping[str, dict[int, int]]) -> None:
    """For a consumer group."""
    with KafkaAdmin(address, {}) as admin:
        admin.commit(group, dict(wanted))


def _create(address: str, names: Collection[str], partitions: int) -> list[str]:
    with KafkaAdmin(address, {}) as admin:
        return admin.create(names, partitions, 1)


def _send(address: str, topic: str, records: list[Sent]) -> None:
    with KafkaProducer(address) as producer:
        for key, value, headers in records:
            producer.send(topic, value, key, headers)


def _read(address: str, topics: list[str], count: int, seconds: float) -> list[Consumed]:
    found: list[Consumed] = []
    end = time.monotonic() + seconds
    with KafkaConsumer(address, topics) as consumer:
        while len(found) < count and time.monotonic() < end:
            found += consumer.poll(0.5)
        found += consumer.poll(0.2)
    return found
