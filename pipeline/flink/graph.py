"""The job graph: source -> parse -> one async operator per kind -> route -> sinks. The same in both modes."""

from __future__ import annotations

from pathlib import Path

from pyflink.common import Time, Types
from pyflink.datastream import AsyncDataStream, DataStream, OutputTag, RuntimeExecutionMode, StreamExecutionEnvironment

from pipeline.flink import files, kafka
from pipeline.flink.parse import BYTES, IMAGES, LEDGER, VIDEOS, ParseLines
from pipeline.flink.plan import JobPlan
from pipeline.flink.route import DEAD, ENDED, Route, RouteToKafka
from pipeline.flink.understand import Branch, Understand
from pipeline.kafka.settings import KafkaSink, KafkaSource
from reconcile.ledger.rows import rows_folder


def build(env: StreamExecutionEnvironment, plan: JobPlan) -> None:
    """Add the job to the environment."""
    spec = plan.spec
    env.set_parallelism(spec.parallelism)
    env.set_runtime_mode(RuntimeExecutionMode.BATCH if spec.mode == "batch" else RuntimeExecutionMode.STREAMING)
    posts = _source(env, plan).process(ParseLines(plan), BYTES).name("parse")

    def outcomes(stream: DataStream, branch: Branch) -> DataStream:
        # A task of its own: a bundle waits for all its calls, so a slow video would else hold a post's bundle and its
        # checkpoint. `route` runs in the same bundle and costs no hop. Timeout 0: Flink's timer is a thread a record.
        understood = AsyncDataStream.unordered_wait(
            stream, Understand(plan, branch), Time.seconds(0), spec.threads.capacity, BYTES
        )
        finished = understood.name(branch).start_new_chain()
        if isinstance(spec.sink, KafkaSink):
            return finished.process(RouteToKafka(plan), kafka.RECORD).name("route")
        return finished.process(Route(plan), Types.STRING()).name("route")

    images, videos = _side(posts, IMAGES), _side(posts, VIDEOS)
    results = [outcomes(images, "image"), outcomes(videos, "video"), outcomes(posts, "post")]
    ledger = _side(posts, LEDGER).union(*(_side(branch, ENDED) for branch in results))
    ledger.sink_to(files.sink(rows_folder(Path(plan.state)), plan.run_id)).name("ledger")
    if isinstance(spec.sink, KafkaSink):
        kafka.write(env, results[0].union(*results[1:]), spec.sink, plan.brokers(spec.sink), plan.run_id)
        return
    dead = [_side(branch, DEAD) for branch in results]
    results[0].union(*results[1:]).sink_to(files.sink(spec.sink.path / "results", plan.run_id)).name("results")
    dead[0].union(*dead[1:]).sink_to(files.sink(spec.sink.path / "dead", plan.run_id)).name("dead letters")


def _source(env: StreamExecutionEnvironment, plan: JobPlan) -> DataStream:
    spec = plan.spec
    if isinstance(spec.source, KafkaSource):
        return kafka.records(env, spec.source, plan.brokers(spec.source), plan.group, plan.ends)
    return files.lines(env, spec.source)


def _side(stream: DataStream, tag: OutputTag) -> DataStream:
    """A side output as it is: PyFlink's own `get_side_output` sends each record through a Python worker once more."""
    return DataStream(stream._j_data_stream.getSideOutput(tag.get_java_output_tag()))
