"""Count a run's outcomes in its result topics, in the JVM: a batch query between two sets of offsets.

In batch mode, since a streaming aggregate would hand over a change for each record, one by one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.flink.kafka import quoted, topic_options
from pipeline.flink.plan import Bounds
from pipeline.flink.tables import BatchTables
from pipeline.kafka.settings import KafkaSink


def count(
    sink: KafkaSink, bootstrap: str, run_id: str, first: Bounds, last: Bounds, state: Path
) -> dict[tuple[str, str], int]:
    """(outcome, the code of its reason where it is a refusal) -> input lines of a run that have it.

    A record that was written twice counts once: its `origin` header tells the line that it answers. Lines of files have
    no offset; there each record counts.

    Args:
        first, last: offsets before and after the run; a topic that is not in `first` is read from its beginning.
        state: the system's folder.
    """
    topics = {
        topic: partitions
        for topic, partitions in last.items()
        if topic not in (sink.dead_topic, sink.features)
        and any(end > first.get(topic, {}).get(partition, 0) for partition, end in partitions.items())
    }
    if not topics:
        return {}
    with tempfile.TemporaryDirectory(prefix=f"count-{run_id}-", dir=state, ignore_cleanup_errors=True) as scratch:
        return _counted(BatchTables(Path(scratch), state / "log"), sink, bootstrap, run_id, first, topics)


def _counted(
    tables: BatchTables, sink: KafkaSink, bootstrap: str, run_id: str, first: Bounds, topics: Bounds
) -> dict[tuple[str, str], int]:
    views = []
    for number, (topic, ends) in enumerate(sorted(topics.items())):
        starts = first.get(topic, {})
        options = topic_options(bootstrap, sink.properties, [topic]) | {
            "value.format": "raw",
            "scan.startup.mode": "specific-offsets",
            "scan.startup.specific-offsets": offsets({p: starts.get(p, 0) for p in ends}),
            "scan.bounded.mode": "specific-offsets",
            "scan.bounded.specific-offsets": offsets(ends),
            "scan.topic-partition-discovery.interval": "0",
            "properties.group.id": f"sosie-count-{run_id}",
        }
        tables.execute(
            f"CREATE TEMPORARY TABLE counted_{number} (`value` STRING, `headers` MAP<STRING, BYTES> METADATA VIRTUAL)"
            f" WITH ({quoted(options)})"
        )
        views.append(
            "SELECT JSON_VALUE(`value`, '$.outcome') AS outcome, DECODE(`headers`['origin'], 'UTF-8') AS origin,"  # noqa: S608 (our own names)
            " CASE WHEN JSON_VALUE(`value`, '$.outcome') IN ('rejected', 'dead')"
            " THEN SPLIT_INDEX(JSON_VALUE(`value`, '$.reason'), ':', 0) END AS code"
            f" FROM counted_{number} WHERE DECODE(`headers`['run'], 'UTF-8') = '{run_id}'"
        )
    union = " UNION ALL ".join(views)
    query = (
        "SELECT outcome, COALESCE(code, '') AS code, COUNT(DISTINCT CASE WHEN origin LIKE '%:%' THEN origin END) +"  # noqa: S608 (our own names)
        " COUNT(CASE WHEN origin NOT LIKE '%:%' THEN 1 END) AS n"
        f" FROM ({union}) WHERE outcome IS NOT NULL GROUP BY outcome, code"
    )
    return {(str(row["outcome"]), str(row["code"])): int(row["n"]) for row in tables.query(query)[0]}


def offsets(partitions: dict[int, int]) -> str:
    """As the connector's options want them."""
    return ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(partitions.items()))
