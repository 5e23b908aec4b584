"""What a run has to read and what it wrote: counted in source and sink, before it starts and after its end."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.jars import maven
from pipeline.flink.plan import Bounds, JobPlan
from pipeline.kafka.settings import KafkaSink, KafkaSource
from pipeline.runs import Tally, count_lines, count_outcomes
from pipeline.spec import FilesSink, FilesSource, JobSpec


def needs_broker(spec: JobSpec) -> bool:
    """Whether a job reads or writes Kafka without saying where: then the stack's own broker is meant."""
    return any(isinstance(part, KafkaSource | KafkaSink) and not part.bootstrap for part in (spec.source, spec.sink))


def is_endless(source: FilesSource | KafkaSource) -> bool:
    """Whether the source goes on with what comes later."""
    return source.watch if isinstance(source, FilesSource) else not source.bounded


class RunBounds:
    """Made before the job starts: the topics that it writes are made, and its offsets are asked for.

    Args:
        job: the plan; `self.job` is the same with its offsets.

    Raises:
        UsageError: a topic or a broker is not there.
        Retryable: the brokers do not answer.
        Permanent: they do not allow what the job needs.
    """

    def __init__(self, job: JobPlan) -> None:
        self.job = job
        self._written_before: Bounds = {}
        spec = job.spec
        if isinstance(spec.source, KafkaSource) or isinstance(spec.sink, KafkaSink):
            from pipeline.flink import environment

            maven.ensure("connector")
            environment.prepare_gateway(Path(job.state) / "log")
        if isinstance(spec.sink, KafkaSink):
            self._prepare_sink(spec.sink)
        if isinstance(spec.source, KafkaSource):
            self.job = self._with_offsets(spec.source)

    @property
    def results(self) -> Path | str:
        """Where the results are."""
        sink = self.job.spec.sink
        return sink.path / "results" if isinstance(sink, FilesSink) else f"kafka:{sink.topic}"

    def total(self) -> int | None:
        """Records that the run will read; None when it reads on."""
        return None if is_endless(self.job.spec.source) else self.lines()

    def lines(self) -> int:
        """Records in the source: of files as they are now; on Kafka up to the end, or up to now if there is none."""
        source = self.job.spec.source
        if isinstance(source, FilesSource):
            return count_lines(source)
        from pipeline.flink.kafka_offsets import between

        return between(self.job.starts, self.job.ends or self._latest(source, source.topics))

    def counted(self) -> Tally:
        """Outcomes of the run; counted in the sink."""
        sink = self.job.spec.sink
        if isinstance(sink, FilesSink):
            return count_outcomes(sink.path, self.job.run_id)
        from pipeline.flink import kafka_counts

        last = self._latest(sink, None)
        bootstrap = self.job.brokers(sink)
        found = kafka_counts.count(sink, bootstrap, self.job.run_id, self._written_before, last, Path(self.job.state))
        return Tally.of(found)

    def _with_offsets(self, source: KafkaSource) -> JobPlan:
        from pipeline.flink import kafka_offsets
        from pipeline.flink.kafka_admin import KafkaAdmin

        with KafkaAdmin(self.job.brokers(source), source.properties) as admin:
            starts = kafka_offsets.starts(admin, source, self.job.group)
            ends = admin.offsets(source.topics, "latest") if source.bounded else {}
        return msgspec.structs.replace(self.job, starts=starts, ends=ends)

    def _prepare_sink(self, sink: KafkaSink) -> None:
        from pipeline.flink.kafka_admin import KafkaAdmin

        with KafkaAdmin(self.job.brokers(sink), sink.properties) as admin:
            if sink.create:
                admin.create(sink.topics, sink.partitions, sink.replication)
            admin.offsets(sink.topics, "latest")
        self._written_before = self._latest(sink, None)

    def _latest(self, part: KafkaSource | KafkaSink, topics: tuple[str, ...] | None) -> Bounds:
        """Of all topics where none is named: a rule may have chosen any."""
        from pipeline.flink.kafka_admin import KafkaAdmin

        with KafkaAdmin(self.job.brokers(part), part.properties) as admin:
            named = topics or [topic for topic in admin.topics() if not topic.startswith("__")]
            return admin.offsets(named, "latest")
