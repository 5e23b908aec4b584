"""Make a job's topics, and change the rule that chooses among them while it runs."""

from __future__ import annotations

import os
from pathlib import Path

from deploy import stack
from deploy.addresses import Addresses, GivenAddresses
from deploy.jars import maven
from materials.errors import UsageError
from model_plugins.discovery.zookeeper_access import Access
from pipeline.kafka import rule_store
from pipeline.kafka.rules import TopicChooser, TopicRule
from pipeline.kafka.settings import KafkaSink, KafkaSource, is_topic_name
from pipeline.spec import JobSpec


def addresses_of(state: Path) -> Addresses:
    """Of the stack on a state folder, and of what the environment gives.

    Raises:
        UsageError: no ZooKeeper is known.
    """
    given = GivenAddresses.read(os.environ)
    found = stack.find(state) or Addresses(zookeeper=given.zookeeper, redis="", index="", kafka=given.kafka)
    if not found.zookeeper:
        raise UsageError(f"no stack runs on {state}", f"start one: sosie up --kafka --state {state}")
    return found


def set_rule(spec: JobSpec, state: Path, rule: TopicRule) -> list[str]:
    """Make the rule's topics, then let running jobs of this spec's name follow it. Returns the topics that were made.

    Raises:
        UsageError: the sink is not Kafka, the rule names a function that the spec does not allow, or no topic.
        Permanent: the brokers do not allow a topic to be made.
        Retryable: Kafka or ZooKeeper do not answer.
    """
    sink = _kafka_sink(spec)
    if bool(rule.field) == bool(rule.function):
        raise UsageError("a rule chooses by a field or by a function", "give --field NAME, or --function PATH")
    if not rule.every_topic():
        raise UsageError("the rule names no topic", "give --to VALUE=TOPIC, --allow TOPIC or --default TOPIC")
    for topic in rule.every_topic():
        if not is_topic_name(topic):
            raise UsageError(f"{topic!r} is no topic name", "use 1 to 249 characters of [A-Za-z0-9._-]")
    TopicChooser(rule, sink.topic, sink.functions)
    addresses = addresses_of(state)
    made = _ensure(sink, addresses, state, rule.every_topic(), create=sink.create)
    rule_store.write(addresses.zookeeper, spec.name, rule, access=Access.find(None, os.environ))
    return made


def clear_rule(spec: JobSpec, state: Path) -> None:
    """Let results go to the sink's own topic again.

    Raises:
        UsageError: the sink is not Kafka, or no stack runs.
        Retryable: ZooKeeper does not answer.
    """
    _kafka_sink(spec)
    rule_store.write(addresses_of(state).zookeeper, spec.name, None, access=Access.find(None, os.environ))


def current_rule(spec: JobSpec, state: Path) -> TopicRule | None:
    """The rule of a job; None where results go to the sink's own topic.

    Raises:
        UsageError: the sink is not Kafka, or no stack runs.
        Retryable: ZooKeeper does not answer.
    """
    _kafka_sink(spec)
    return rule_store.read(addresses_of(state).zookeeper, spec.name, access=Access.find(None, os.environ))


def create_topics(spec: JobSpec, state: Path, partitions: int, replication: int) -> list[str]:
    """Make the topics that a job reads and writes; returns those that were not there.

    Raises:
        UsageError: the job has no Kafka at all, or no broker is known.
        Permanent: the brokers do not allow it.
        Retryable: they do not answer.
    """
    addresses = stack.find(state) or Addresses(
        zookeeper="", redis="", index="", kafka=os.environ.get("SOSIE_KAFKA", "")
    )
    made = []
    for part in (spec.source, spec.sink):
        if isinstance(part, KafkaSource | KafkaSink):
            made += _ensure(part, addresses, state, part.topics, partitions, replication)
    if not isinstance(spec.source, KafkaSource) and not isinstance(spec.sink, KafkaSink):
        raise UsageError(f"the job {spec.name} has no topics", "give a spec with `kind: kafka`")
    return made


def _kafka_sink(spec: JobSpec) -> KafkaSink:
    if not isinstance(spec.sink, KafkaSink):
        raise UsageError(f"the job {spec.name} does not write to Kafka", "give a spec with `sink: {kind: kafka, …}`")
    return spec.sink


def _ensure(
    part: KafkaSource | KafkaSink,
    addresses: Addresses,
    state: Path,
    topics: tuple[str, ...],
    partitions: int = 0,
    replication: int = 0,
    create: bool = True,
) -> list[str]:
    """Make topics, or only check that they are there."""
    maven.ensure("connector")
    from pipeline.flink.environment import prepare_gateway
    from pipeline.flink.kafka_admin import KafkaAdmin

    bootstrap = part.bootstrap or addresses.kafka
    if not bootstrap:
        raise UsageError("no Kafka broker is known", "sosie up --kafka, or give `bootstrap` in the spec")
    prepare_gateway(state / "log")
    of_sink = part if isinstance(part, KafkaSink) else None
    with KafkaAdmin(bootstrap, part.properties) as admin:
        if create:
            wide = partitions or (of_sink.partitions if of_sink else 2)
            return admin.create(topics, wide, replication or (of_sink.replication if of_sink else 1))
        admin.offsets(topics, "latest")
    return []
