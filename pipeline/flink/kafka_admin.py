"""Ask and change a Kafka cluster from the client: its topics, their offsets. Kafka's own admin client, in Flink's JVM.

`pipeline.flink.environment.prepare_gateway` first: it puts the connector, which carries the client, on the class path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Literal

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyflink.java_gateway import get_gateway

from materials.errors import Permanent, Retryable, UsageError
from pipeline.flink.java_errors import java_reason
from pipeline.flink.plan import Bounds
from pipeline.kafka.settings import SHADED, client_properties, unset_names

_SECONDS = 15
_ASK_AGAIN_S = 0.05


class KafkaAdmin:
    """One admin client; a context manager.

    Args:
        bootstrap: `host:port[,…]`.
        properties: as the spec has them.

    Raises:
        UsageError: they cannot be used, or name a secret that is not there.
    """

    def __init__(self, bootstrap: str, properties: Mapping[str, str]) -> None:
        if unset := unset_names(properties, os.environ):
            raise UsageError(
                f"the settings of Kafka at {bootstrap} name {', '.join(unset)}, which this environment does not have",
                f"export {unset[0]}=…",
            )
        self._bootstrap = bootstrap
        self._gateway = get_gateway()
        self._kafka = kafka_package(self._gateway)
        settings = self._gateway.jvm.java.util.Properties()
        given = {"default.api.timeout.ms": str(_SECONDS * 1000), "request.timeout.ms": "10000"}
        for key, value in (given | client_properties(bootstrap, properties)).items():
            settings.setProperty(key, value)
        try:
            self._client = self._kafka.clients.admin.AdminClient.create(settings)
        except Py4JError as error:
            raise UsageError(
                f"the Kafka settings cannot be used: {java_reason(error)}", "mend `properties` in the spec"
            ) from None

    def __enter__(self) -> KafkaAdmin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def topics(self) -> set[str]:
        """Names of all topics that may be seen.

        Raises:
            Retryable: the brokers do not answer.
        """
        return set(self._answer(self._client.listTopics().names(), "list its topics"))

    def create(self, names: Collection[str], partitions: int, replication: int) -> list[str]:
        """Make the topics that are not there; returns those made, once the brokers tell of them.

        Raises:
            Retryable: the brokers do not answer, or do not tell of them in time.
            Permanent: they do not allow it.
        """
        missing = sorted(set(names) - self.topics())
        if not missing:
            return []
        wanted = self._gateway.jvm.java.util.ArrayList()
        for name in missing:
            wanted.add(self._kafka.clients.admin.NewTopic(name, partitions, replication))
        try:
            self._answer(self._client.createTopics(wanted).all(), f"make the topics {', '.join(missing)}")
        except Permanent as error:
            if "TopicExists" not in str(error):
                raise
        # The controller has them when it answers; a busy broker, which is asked from now on, learns of them later.
        end = time.monotonic() + _SECONDS
        while unseen := sorted(set(missing) - self.topics()):
            if time.monotonic() > end:
                raise Retryable(f"Kafka at {self._bootstrap} made {', '.join(unseen)}, and does not tell of them yet")
            time.sleep(_ASK_AGAIN_S)
        return missing

    def offsets(self, topics: Collection[str], at: Literal["earliest", "latest"] | int) -> Bounds:
        """Of every partition: the first offset, the one after the last, or the first since a time (epoch ms; the end
        where there is none since).

        Raises:
            UsageError: a topic is not there.
            Retryable: the brokers do not answer.
        """
        specs = self._kafka.clients.admin.OffsetSpec
        if isinstance(at, int):
            ends = self.offsets(topics, "latest")
            found = self._offsets(topics, specs.forTimestamp(at))
            return {t: {p: o if o >= 0 else ends[t][p] for p, o in ps.items()} for t, ps in found.items()}
        return self._offsets(topics, specs.earliest() if at == "earliest" else specs.latest())

    def committed(self, group: str) -> Bounds:
        """What a consumer group has committed.

        Raises:
            Retryable: the brokers do not answer.
        """
        listed = self._client.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()
        found: Bounds = {}
        for partition, committed in self._answer(listed, f"tell the offsets of group {group}").items():
            if committed is not None:
                found.setdefault(partition.topic(), {})[partition.partition()] = committed.offset()
        return found

    def commit(self, group: str, offsets: Bounds) -> None:
        """Set what a consumer group has committed.

        Raises:
            Retryable: the brokers do not answer.
            Permanent: they do not allow it, or somebody consumes as a member of that group.
        """
        wanted = self._gateway.jvm.java.util.HashMap()
        for topic, partitions in offsets.items():
            for partition, offset in partitions.items():
                where = self._kafka.common.TopicPartition(topic, partition)
                wanted.put(where, self._kafka.clients.consumer.OffsetAndMetadata(offset))
        if offsets:
            answer = self._client.alterConsumerGroupOffsets(group, wanted).all()
            self._answer(answer, f"commit offsets of group {group}")

    def _offsets(self, topics: Collection[str], spec: Any) -> Bounds:
        missing = sorted(set(topics) - self.topics())
        if missing:
            raise UsageError(
                f"Kafka at {self._bootstrap} has no topic {', '.join(missing)}",
                "make it: sosie topics create JOB.yaml, or mend the spec",
            )
        names = self._gateway.jvm.java.util.ArrayList()
        for topic in topics:
            names.add(topic)
        described = self._answer(self._client.describeTopics(names).allTopicNames(), "describe its topics")
        asked = self._gateway.jvm.java.util.HashMap()
        for topic, description in described.items():
            for partition in description.partitions():
                asked.put(self._kafka.common.TopicPartition(topic, partition.partition()), spec)
        found: Bounds = {topic: {} for topic in topics}
        for partition, result in self._answer(self._client.listOffsets(asked).all(), "tell its offsets").items():
            found[partition.topic()][partition.partition()] = result.offset()
        return found

    def _answer(self, future: Any, what: str) -> Any:
        try:
            return future.get(_SECONDS, self._gateway.jvm.java.util.concurrent.TimeUnit.SECONDS)
        except Py4JError as error:
            reason = java_reason(error)
            told = f"Kafka at {self._bootstrap} did not {what}: {reason}"
            passing = ("Timeout", "Disconnect", "NotController", "Retriable", "Network", "LeaderNotAvailable")
            raise (Retryable if any(word in reason for word in passing) else Permanent)(told) from None


def kafka_package(gateway: Any) -> Any:
    """`org.apache.kafka`, as the connector carries it."""
    found = gateway.jvm
    for name in f"{SHADED}org.apache.kafka".split("."):
        found = getattr(found, name)
    return found
