"""Kafka in and out, through Flink's own table connector: records stay in the JVM until the parser, and from the router.

The table connector tells topic, partition, offset and headers of a record, which PyFlink's DataStream source does not,
and writes key, headers and a topic per record, which its sink does not. At least once: offsets belong to the
checkpoint, and a checkpoint completes when the broker has acknowledged what was written before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyflink.common import Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from pipeline.flink.plan import Bounds
from pipeline.kafka.settings import KafkaSink, KafkaSource, client_properties

RECORD = Types.ROW_NAMED(["key", "value", "topic", "origin", "trace_id"], [Types.STRING()] * 5)
"""What goes to `write`: a `pipeline.kafka.routing.KafkaRecord`."""
SINK_NAME = "sosie_kafka_out"
_COLUMNS = "`value`, `topic`, `partition`, `offset`, `headers`['traceparent'] AS traceparent, `key`"


def records(
    env: StreamExecutionEnvironment, source: KafkaSource, bootstrap: str, group: str, ends: Bounds
) -> DataStream:
    """Rows (value, topic, partition, offset, traceparent, key); in order within a partition.

    Args:
        source: the spec's.
        bootstrap: the brokers.
        group: of the consumers.
        ends: topic -> partition -> the offset to end before; for a bounded source.
    """
    tables = StreamTableEnvironment.create(env)
    if not source.bounded:
        return _table(tables, "sosie_kafka_in", source, _options(source, bootstrap, group, list(source.topics)))
    # The connector takes end offsets of one topic only, and "the latest" would be asked for anew after a restart.
    streams = []
    for number, topic in enumerate(source.topics):
        options = _options(source, bootstrap, group, [topic])
        options["scan.bounded.mode"] = "specific-offsets"
        options["scan.bounded.specific-offsets"] = ";".join(
            f"partition:{partition},offset:{offset}" for partition, offset in sorted(ends[topic].items())
        )
        options["scan.topic-partition-discovery.interval"] = "0"
        streams.append(_table(tables, f"sosie_kafka_in_{number}", source, options))
    return streams[0].union(*streams[1:]) if streams[1:] else streams[0]


def write(env: StreamExecutionEnvironment, stream: DataStream, sink: KafkaSink, bootstrap: str, run_id: str) -> None:
    """Send each row of `RECORD` to its topic, keyed, with its origin, trace and run as headers."""
    tables = StreamTableEnvironment.create(env)
    options = {
        "connector": "kafka",
        # Any topic: which ones a result may go to is the rule's business, and they exist before it takes effect.
        "topic-pattern": ".*",
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": "at-least-once",
        **_client({"acks": "all", "enable.idempotence": "true", "linger.ms": "2"}),
        **_client(client_properties(bootstrap, sink.properties)),
    }
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE {SINK_NAME} (`key` STRING, `value` STRING, `topic` STRING NOT NULL METADATA,"
        f" `headers` MAP<STRING, BYTES> METADATA) WITH ({quoted(options)})"
    )
    tables.create_temporary_view("sosie_kafka_records", stream)
    statements = tables.create_statement_set()
    statements.add_insert(
        SINK_NAME,
        tables.sql_query(
            "SELECT `key`, `value`, `topic`, MAP['origin', ENCODE(`origin`, 'UTF-8'),"  # noqa: S608 (our own names)
            " 'trace_id', ENCODE(`trace_id`, 'UTF-8'),"
            f" 'run', ENCODE('{_sql(run_id)}', 'UTF-8')] FROM sosie_kafka_records"
        ),
    )
    statements.attach_as_datastream()


def _table(tables: StreamTableEnvironment, name: str, source: KafkaSource, options: Mapping[str, str]) -> DataStream:
    minutes, seconds = divmod(source.lateness_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    lateness = f"INTERVAL '{hours // 24} {hours % 24:02}:{minutes:02}:{seconds:06.3f}' DAY TO SECOND(3)"
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE {name} ("
        "`key` BYTES, `value` BYTES,"
        " `topic` STRING NOT NULL METADATA VIRTUAL, `partition` INT NOT NULL METADATA VIRTUAL,"
        " `offset` BIGINT NOT NULL METADATA VIRTUAL, `headers` MAP<STRING, BYTES> METADATA VIRTUAL,"
        " `at` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,"
        f" WATERMARK FOR `at` AS `at` - {lateness}) WITH ({quoted(options)})"
    )
    return tables.to_data_stream(tables.sql_query(f"SELECT {_COLUMNS} FROM {name}"))  # noqa: S608 (our own names)


def _options(source: KafkaSource, bootstrap: str, group: str, topics: list[str]) -> dict[str, str]:
    modes = {
        "earliest": "earliest-offset",
        "latest": "latest-offset",
        "committed": "group-offsets",
        "timestamp": "timestamp",
    }
    # auto.offset.reset: `committed` where nothing was committed yet, or where it has expired: nothing is left out.
    options = topic_options(bootstrap, source.properties, topics) | {
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "scan.startup.mode": modes[source.start],
        "scan.watermark.idle-timeout": f"{int(source.idle_s * 1000)} ms",
        "scan.topic-partition-discovery.interval": f"{int(source.discover_s * 1000)} ms",
        "properties.group.id": group,
    }
    if source.start_at is not None:
        options["scan.startup.timestamp-millis"] = str(round(source.start_at.timestamp() * 1000))
    return options


def _client(properties: Mapping[str, str]) -> dict[str, str]:
    return {f"properties.{key}": value for key, value in properties.items()}


def topic_options(bootstrap: str, properties: Mapping[str, str], topics: list[str]) -> dict[str, str]:
    """What every table that reads topics needs."""
    return {
        "connector": "kafka",
        "topic": ";".join(topics),
        **_client(client_properties(bootstrap, properties)),
        **_client({"auto.offset.reset": "earliest", "isolation.level": "read_committed"}),
    }


def quoted(options: Mapping[str, str]) -> str:
    """Options of a table, in SQL."""
    return ", ".join(f"'{_sql(key)}' = '{_sql(value)}'" for key, value in options.items())


def _sql(value: str) -> str:
    return value.replace("'", "''")
