"""Produce and consume from Python with Kafka's own client, in Flink's JVM: for tools, tests and benchmarks.

Each call crosses into the JVM: a few thousand records a second. Jobs use `pipeline.flink.kafka`, which does not.
`pipeline.flink.environment.prepare_gateway` first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyflink.java_gateway import get_gateway

from materials.errors import Retryable
from pipeline.flink.java_errors import java_reason
from pipeline.flink.kafka_admin import kafka_package
from pipeline.kafka.settings import SHADED, client_properties

_SERIALIZATION = f"{SHADED}org.apache.kafka.common.serialization."


class Consumed(NamedTuple):
    """One record. `at`: its timestamp, epoch seconds; `headers`: the last one of each name."""

    topic: str
    partition: int
    offset: int
    at: float
    key: str | None
    value: bytes | None
    headers: dict[str, bytes]


class KafkaProducer:
    """Sends and, on `flush`, waits. A context manager; leaving it flushes.

    Args:
        bootstrap: `host:port[,…]`.
        properties: as a spec has them, and more.
    """

    def __init__(self, bootstrap: str, properties: Mapping[str, str] | None = None) -> None:
        self._gateway = get_gateway()
        self._kafka = kafka_package(self._gateway)
        settings = {
            "acks": "all",
            "enable.idempotence": "true",
            "max.block.ms": "15000",
            "delivery.timeout.ms": "60000",
            "request.timeout.ms": "15000",
            "key.serializer": f"{_SERIALIZATION}StringSerializer",
            "value.serializer": f"{_SERIALIZATION}ByteArraySerializer",
            **client_properties(bootstrap, properties or {}),
        }
        self._producer = self._kafka.clients.producer.KafkaProducer(_properties(self._gateway, settings))
        self._futures: list[Any] = []

    def __enter__(self) -> KafkaProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close()

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: str | None = None,
        headers: Mapping[str, bytes] | None = None,
        partition: int | None = None,
    ) -> None:
        """Hand one record to the client; `flush` tells whether the broker took it."""
        record = self._kafka.clients.producer.ProducerRecord(topic, partition, key, value)
        for name, content in (headers or {}).items():
            record.headers().add(name, content)
        self._futures.append(self._producer.send(record))

    def flush(self) -> None:
        """Wait until all that was sent is acknowledged.

        Raises:
            Retryable: the broker did not take a record.
        """
        self._producer.flush()
        futures, self._futures = self._futures, []
        for future in futures:
            try:
                future.get()
            except Py4JError as error:
                raise Retryable(f"Kafka did not take a record: {java_reason(error)}") from None


class KafkaConsumer:
    """Reads all partitions of some topics, without a group. A context manager.

    Args:
        bootstrap: `host:port[,…]`.
        topics: they must be there.
        properties: as a spec has them, and more.
        from_end: begin behind the last record instead of at the first.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Collection[str],
        properties: Mapping[str, str] | None = None,
        *,
        from_end: bool = False,
    ) -> None:
        self._gateway = get_gateway()
        kafka = kafka_package(self._gateway)
        settings = {
            "enable.auto.commit": "false",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "key.deserializer": f"{_SERIALIZATION}StringDeserializer",
            "value.deserializer": f"{_SERIALIZATION}ByteArrayDeserializer",
            **client_properties(bootstrap, properties or {}),
        }
        self._consumer = kafka.clients.consumer.KafkaConsumer(_properties(self._gateway, settings))
        partitions = self._gateway.jvm.java.util.ArrayList()
        for topic in topics:
            for info in self._consumer.partitionsFor(topic):
                partitions.add(kafka.common.TopicPartition(topic, info.partition()))
        self._consumer.assign(partitions)
        if from_end:
            self._consumer.seekToEnd(partitions)
            for partition in partitions:
                self._consumer.position(partition)
        else:
            self._consumer.seekToBeginning(partitions)

    def __enter__(self) -> KafkaConsumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def poll(self, seconds: float) -> list[Consumed]:
        """What has come, waiting for something at most so long."""
        records = self._consumer.poll(self._gateway.jvm.java.time.Duration.ofMillis(int(seconds * 1000)))
        return [
            Consumed(
                each.topic(),
                each.partition(),
                each.offset(),
                each.timestamp() / 1000.0,
                each.key(),
                None if each.value() is None else bytes(each.value()),
                {header.key(): bytes(header.value()) for header in each.headers().toArray()},
            )
            for each in _each(records.iterator())
        ]


def _each(iterator: Any) -> Iterator[Any]:
    while iterator.hasNext():
        yield iterator.next()


def _properties(gateway: Any, values: Mapping[str, str]) -> Any:
    properties = gateway.jvm.java.util.Properties()
    for key, value in values.items():
        properties.setProperty(key, value)
    return properties
