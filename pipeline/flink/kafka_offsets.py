"""How far a job on Kafka has to read: start and end offsets, asked once before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.flink.plan import Bounds
from pipeline.kafka.settings import KafkaSource

if TYPE_CHECKING:
    from pipeline.flink.kafka_admin import KafkaAdmin


def starts(admin: KafkaAdmin, source: KafkaSource, group: str) -> Bounds:
    """Where the source begins that has no checkpoint.

    Raises:
        UsageError: a topic is not there.
        Retryable: the brokers do not answer.
    """
    if source.start == "timestamp" and source.start_at is not None:
        return admin.offsets(source.topics, round(source.start_at.timestamp() * 1000))
    if source.start == "latest":
        return admin.offsets(source.topics, "latest")
    first = admin.offsets(source.topics, "earliest")
    if source.start == "earliest":
        return first
    done = admin.committed(group)
    return {
        topic: {p: max(offset, done.get(topic, {}).get(p, offset)) for p, offset in partitions.items()}
        for topic, partitions in first.items()
    }


def between(first: Bounds, last: Bounds) -> int:
    """Records from `first` up to `last`; partitions that `first` does not know count from 0."""
    return sum(
        max(0, end - first.get(topic, {}).get(partition, 0))
        for topic, partitions in last.items()
        for partition, end in partitions.items()
    )


def left_to_commit(ends: Bounds, committed: Bounds) -> Bounds:
    """The ends that a group has not reached; offsets never go back."""
    left = {
        topic: {p: end for p, end in partitions.items() if end > committed.get(topic, {}).get(p, 0)}
        for topic, partitions in ends.items()
    }
    return {topic: partitions for topic, partitions in left.items() if partitions}
