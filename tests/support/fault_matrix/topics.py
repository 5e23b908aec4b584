"""Kafka at both ends of the matrix: the load goes into a topic, committed outcomes are read from another."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import msgspec
from fault_matrix.bed import INPUT, OUTPUT
from fault_matrix.results import Results
from model_servers import wait_until

from deploy.java import clean_environment
from deploy.parts import kafka
from deploy.parts.part import Unhealthy
from deploy.ports import LOOPBACK, choose
from materials.errors import Retryable
from pipeline.flink.kafka_admin import KafkaAdmin
from pipeline.flink.kafka_client import KafkaConsumer, KafkaProducer

START_SECONDS = 240.0


def make_topics(bootstrap: str) -> None:
    """Input and output."""
    with KafkaAdmin(bootstrap, {}) as admin:
        admin.create([INPUT, OUTPUT], 2, 1)


class IntoTopic:
    """An outlet. A batch that the broker did not take is sent again: two of the same line have the same outcome."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: KafkaProducer | None = None

    def put(self, lines: list[bytes]) -> None:
        """Returns once the broker has acknowledged all of them."""
        while True:
            if self._producer is None:
                self._producer = KafkaProducer(self._bootstrap)
            try:
                for line in lines:
                    self._producer.send(INPUT, line, key=msgspec.json.decode(line)["material_id"])
                self._producer.flush()
            except Retryable:
                continue
            return


class OutOfTopic(Results):
    """Follows the results' topic from its beginning; the sink writes at least once."""

    exactly_once = False

    def __init__(self, bootstrap: str) -> None:
        super().__init__()
        self._consumer = KafkaConsumer(bootstrap, [OUTPUT])

    def look(self) -> None:
        """Read what is new. `at` is when the broker took the record."""
        for record in self._consumer.poll(0.2):
            if record.value is not None:
                self.read(record.value, record.at)


class Broker:
    """A broker whose clients come through a proxy: it advertises the proxy's address. The load comes by another door.

    Args:
        folder: of its data.
        port: that the proxy forwards to.
        advertised: the proxy's `host:port`.
    """

    def __init__(self, folder: Path, port: int, advertised: str) -> None:
        controller, load = choose(2, random.Random(), {port})
        self.load_address = f"{LOOPBACK}:{load}"
        self._port = load
        more = {
            "listeners": f"CLIENT://{LOOPBACK}:{port},LOAD://{LOOPBACK}:{load},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"CLIENT://{advertised},LOAD://{LOOPBACK}:{load}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,LOAD:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "LOAD",
        }
        kafka.prepare(folder, kafka.configuration(port, controller, more))
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and wait until it serves.

        Raises:
            AssertionError: it does not.
        """
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                kafka.java_command(kafka.SERVER, "server.properties"),
                env=clean_environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._serves, START_SECONDS, f"the broker serves; see {self._folder / 'broker.log'}")

    def kill(self) -> int:
        """`kill -9`, and start it again; returns who was killed."""
        killed = self._process
        killed.kill()
        killed.wait()
        self.start()
        return killed.pid

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _serves(self) -> bool:
        assert self._process.poll() is None, "the broker ended"
        try:
            kafka.check_broker(LOOPBACK, self._port, 2.0)
        except (OSError, Unhealthy):
            return False
        return True
