"""A real broker for tests: KRaft, one node, a plain listener and one that asks for a login."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deploy.java import clean_environment
from deploy.parts import kafka
from deploy.parts.part import Unhealthy
from deploy.ports import LOOPBACK, choose
from pipeline.flink.environment import prepare_gateway
from pipeline.flink.kafka_admin import KafkaAdmin
from pipeline.flink.kafka_client import Consumed, KafkaConsumer, KafkaProducer

PASSWORD = "herons-of-Arles-7"
START_SECONDS = 90.0
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="sosie" password="{}";'


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
        self._await(client)
        prepare_gateway(folder / "log")

    def stop(self) -> None:
        """Ended when this returns."""
        self._process.terminate()
        self._process.wait(30)

    def topics(self, *names: str, partitions: int = 2) -> None:
        """Make them."""
        with KafkaAdmin(self.address, {}) as admin:
            admin.create(names, partitions, 1)

    def send(self, topic: str, records: Iterable[tuple[str | None, bytes | None, Mapping[str, bytes]]]) -> None:
        """Key, value and headers of each."""
        with KafkaProducer(self.address) as producer:
            for key, value, headers in records:
                producer.send(topic, value, key, headers)

    def read(self, topics: Iterable[str], count: int, seconds: float = 60.0) -> list[Consumed]:
        """All records of some topics, once there are at least so many; fewer when time is up."""
        found: list[Consumed] = []
        end = time.monotonic() + seconds
        with KafkaConsumer(self.address, list(topics)) as consumer:
            while len(found) < count and time.monotonic() < end:
                found += consumer.poll(0.5)
            found += consumer.poll(0.2)
        return found

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
    """Properties of a client that logs in; the password as a reference or, in tests of refusals, as it is."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": JAAS.format(password),
    }


def by_key(records: Iterable[Consumed]) -> dict[str, Any]:
    """The last record of each key."""
    return {str(record.key): record for record in records}
