"""Topics read again: Flink copies what lies between two sets of offsets into files, Python reads those."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from materials.errors import Permanent, Retryable
from pipeline.flink import environment
from pipeline.flink.kafka import quoted, topic_options
from pipeline.flink.kafka_admin import KafkaAdmin
from pipeline.flink.kafka_counts import offsets
from pipeline.flink.plan import Bounds
from pipeline.flink.tables import BatchTables
from pipeline.kafka.settings import KafkaSink, KafkaSource
from pipeline.reconciling.source import identity
from reconcile.comparison.inputs import ExpectedLine
from reconcile.ledger.runs import RunRecord


class _Copied(msgspec.Struct):
    """One record. `value`: base64; `at`: its timestamp in UTC."""

    topic: str
    partition: int
    offset: int
    at: str
    value: str | None = None
    origin: str | None = None
    run: str | None = None


class _Answer(msgspec.Struct):
    """What is compared of an outcome."""

    material_id: str
    revision: int
    outcome: str
    content_id: str | None = None


class Topics:
    """Reads the topics of runs.

    Args:
        work: gets the copies.
        log: folder of Flink's log.
    """

    def __init__(self, work: Path, log: Path) -> None:
        environment.prepare_gateway(log)
        self._work, self._log = work, log
        self._copies = 0
        self._away: dict[str, Retryable] = {}

    def expected(self, run: RunRecord) -> Iterator[ExpectedLine]:
        """Every record of a run's source, up to its end, or up to now if it has none.

        Raises:
            SosieError: a topic is gone or may not be read, it has let go of records that the run had to read, or its
                brokers do not answer. Nothing was yielded then.
        """
        for one, where, line in self._source(run):
            kind, material_id, revision = identity(line, where)
            yield ExpectedLine(run.chain, kind, material_id, revision, one.topic, _epoch(one.at))

    def lines(self, run: RunRecord) -> Iterator[tuple[str, str, bytes]]:
        """The same records as topic, `TOPIC-PARTITION:OFFSET`, and value; errors as `expected`'s."""
        for one, where, line in self._source(run):
            yield one.topic, where, line

    def _source(self, run: RunRecord) -> Iterator[tuple[_Copied, str, bytes]]:
        source = KafkaSource.model_validate(run.source)
        brokers = run.brokers["source"]
        with self._admin(brokers, source.properties) as admin:
            kept = admin.offsets(source.topics, "earliest")
            ends = run.ends or admin.offsets(source.topics, "latest")
        for topic, partitions in ends.items():
            for partition, end in partitions.items():
                start, first = run.starts.get(topic, {}).get(partition, 0), kept.get(topic, {}).get(partition, 0)
                if start < min(first, end):
                    raise Permanent(
                        f"the run began at offset {start} of partition {partition} of topic {topic}, which holds"
                        f" records from {first} on: those between them have expired, and cannot be counted again"
                    )
        for one in self._copy(brokers, source.properties, run.starts, ends):
            yield one, f"{one.topic}-{one.partition}:{one.offset}", base64.b64decode(one.value or "")

    def write_results(self, run: RunRecord, path: Path) -> int:
        """A run's outcomes as lines of a file; what was written twice for one input record stands there once.

        A topic is written at least once: a repetition has the same origin and the same answer. Another answer, or a
        second record of the source, is a line of its own.

        Raises:
            SosieError: the brokers do not answer, or do not allow it.
        """
        sink = KafkaSink.model_validate(run.sink)
        brokers = run.brokers["sink"]
        with self._admin(brokers, sink.properties) as admin:
            others = {sink.dead_topic, sink.features, *run.starts}
            named = [topic for topic in admin.topics() if not topic.startswith("__") and topic not in others]
            first, last = admin.offsets(named, "earliest"), admin.offsets(named, "latest")
        seen: set[tuple[str, str, int, str, str]] = set()
        decoder, written = msgspec.json.Decoder(_Answer), 0
        with path.open("wb") as file:
            for one in self._copy(brokers, sink.properties, first, last):
                if one.run != run.run_id or not one.value:
                    continue
                answer = decoder.decode(base64.b64decode(one.value))
                content_id = answer.content_id or ""
                key = (one.origin or "", answer.material_id, answer.revision, answer.outcome, content_id)
                # lines of files have no offset in their origin: there each record counts
                if ":" in key[0] and key in seen:
                    continue
                seen.add(key)
                file.write(msgspec.json.encode(answer) + b"\n")
                written += 1
        return written

    @contextmanager
    def _admin(self, brokers: str, properties: dict[str, str]) -> Iterator[KafkaAdmin]:
        """Brokers that were away once are not waited for again: a report may look at hundreds of runs."""
        if brokers in self._away:
            raise self._away[brokers]
        try:
            with KafkaAdmin(brokers, properties) as admin:
                yield admin
        except Retryable as error:
            self._away[brokers] = error
            raise

    def _copy(self, brokers: str, properties: dict[str, str], first: Bounds, last: Bounds) -> Iterator[_Copied]:
        picked = {topic: ends for topic, ends in last.items() if any(self._due(first.get(topic, {}), ends))}
        if not picked:
            return
        tables = BatchTables(self._work, self._log)
        columns = (
            "`value` BYTES, `topic` STRING NOT NULL METADATA VIRTUAL, `partition` INT NOT NULL METADATA VIRTUAL,"
            " `offset` BIGINT NOT NULL METADATA VIRTUAL, `headers` MAP<STRING, BYTES> METADATA VIRTUAL,"
            " `timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL"
        )
        views = []
        for topic, ends in sorted(picked.items()):
            self._copies += 1
            name = f"topic_{self._copies}"
            starts = first.get(topic, {})
            options = topic_options(brokers, properties, [topic]) | {
                "value.format": "raw",
                "scan.startup.mode": "specific-offsets",
                "scan.startup.specific-offsets": offsets({p: min(starts.get(p, 0), end) for p, end in ends.items()}),
                "scan.bounded.mode": "specific-offsets",
                "scan.bounded.specific-offsets": offsets(ends),
                "scan.topic-partition-discovery.interval": "0",
                "properties.group.id": "sosie-reconcile",
            }
            tables.execute(f"CREATE TEMPORARY TABLE {name} ({columns}) WITH ({quoted(options)})")
            views.append(
                "SELECT `topic`, `partition`, `offset`,"  # noqa: S608 (our own names)
                " CAST(`timestamp` AS STRING) AS `at`,"
                " TO_BASE64(`value`) AS `value`, DECODE(`headers`['origin'], 'UTF-8') AS origin,"
                f" DECODE(`headers`['run'], 'UTF-8') AS run FROM {name}"
            )
        folder = tables.write(" UNION ALL ".join(views))
        decoder = msgspec.json.Decoder(_Copied)
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                for line in file:
                    yield decoder.decode(line)

    @staticmethod
    def _due(starts: dict[int, int], ends: dict[int, int]) -> Iterator[bool]:
        return (end > starts.get(partition, 0) for partition, end in ends.items())


def _epoch(at: str) -> float:
    return datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()


def is_kafka(section: dict[str, Any]) -> bool:
    """Whether a source or sink of a run is Kafka."""
    return section.get("kind") == "kafka"
