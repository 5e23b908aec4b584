"""Outcomes to Kafka records: key, value and topic; the topic by a rule that may change while the job runs."""

from __future__ import annotations

import base64
import os
from typing import Any, NamedTuple

import msgspec
import structlog

from materials.errors import UsageError
from model_plugins.discovery.zookeeper_access import Access
from pipeline.envelope import Finished, dead_letter, result_line
from pipeline.kafka.rule_store import RuleWatcher
from pipeline.kafka.rules import TopicChooser, TopicRule
from pipeline.kafka.settings import KafkaSink

_FIRST_ANSWER_S = 5.0
_log = structlog.get_logger(__name__)


class KafkaRecord(NamedTuple):
    """One record on its way out. `origin`: `topic-partition:offset` (or file) of the input line, for who must tell a
    repetition from a second line; `trace_id`: of the material."""

    key: str
    value: str
    topic: str
    origin: str
    trace_id: str


class KafkaRouting:
    """Makes records, and follows the job's topic rule. Edges: one ZooKeeper session.

    Args:
        sink: the spec's.
        job: its name.
        zookeeper: `host:port[,…]`; empty: no rule is followed.
    """

    def __init__(self, sink: KafkaSink, job: str, zookeeper: str) -> None:
        self._sink = sink
        self._chooser = TopicChooser(TopicRule(), sink.topic)
        self._watcher: RuleWatcher | None = None
        if zookeeper:
            self._watcher = RuleWatcher(zookeeper, job, self._take, Access.find(None, os.environ))
            self._watcher.wait_seen(_FIRST_ANSWER_S)

    def records(self, finished: Finished) -> list[KafkaRecord]:
        """A result, and a dead letter or the features where there are some."""
        outcome = finished.outcome
        key, origin, trace = outcome.material_id, finished.origin, outcome.trace_id
        topic = self._chooser.topic(outcome, finished.line)
        out = [KafkaRecord(key, result_line(outcome), topic, origin, trace)]
        if outcome.outcome == "dead":
            out.append(KafkaRecord(key, dead_letter(finished), self._sink.dead_topic, origin, trace))
        if self._sink.features and finished.features:
            out.append(KafkaRecord(key, features_line(finished), self._sink.features, origin, trace))
        return out

    def close(self) -> None:
        """End the session."""
        if self._watcher is not None:
            self._watcher.close()

    def _take(self, rule: TopicRule | None) -> None:
        try:
            self._chooser = TopicChooser(rule or TopicRule(), self._sink.topic, self._sink.functions)
        except UsageError as error:
            _log.warning("topic_rule_refused", error=error.message, remedy=error.remedy)


def features_line(finished: Finished) -> str:
    """One record of the features topic: `{material_id, revision, features: {material: {plugin@version: {schema, dtype,
    shape, data}}}}`; `data` is base64 of little-endian bytes."""
    body: dict[str, Any] = {
        "material_id": finished.outcome.material_id,
        "revision": finished.outcome.revision,
        "features": {
            material_id: {
                key: {
                    "schema": each.schema,
                    "dtype": each.dtype,
                    "shape": list(each.shape),
                    "data": base64.b64encode(each.data).decode(),
                }
                for key, each in features.items()
            }
            for material_id, features in finished.features.items()
        },
    }
    return msgspec.json.encode(body).decode()
