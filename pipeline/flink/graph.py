"""The job graph: source -> parse -> one async operator per kind -> route -> sinks. The same in both modes.

What goes to the retry queue leaves through a sink of its own, committed with the same checkpoint, and comes back
through a second source: so each record is in exactly one place, whatever is restarted from where (ADR 12).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pyflink.common import Time, Types
from pyflink.datastream import AsyncDataStream, DataStream, OutputTag, RuntimeExecutionMode, StreamExecutionEnvironment

from pipeline.flink import files, kafka, retried
from pipeline.flink.operators import bound_bundle, name_source
from pipeline.flink.parse import BYTES, IMAGES, LEDGER, VIDEOS, ParseLines
from pipeline.flink.plan import JobPlan
from pipeline.flink.route import DEAD, ENDED, HANDED, Route, RouteToKafka
from pipeline.flink.understand import Branch, Understand
from pipeline.kafka.settings import KafkaSink, KafkaSource
from reconcile.ledger.rows import rows_folder
from reconcile.retry import folders

_BUNDLE = 1000
_BUNDLE_OF_VIDEOS = 16
"""A bundle's end, and so a checkpoint, waits for all its records; a video takes a hundred times an image."""


def build(env: StreamExecutionEnvironment, plan: JobPlan, again: Sequence[Path] | None = None) -> None:
    """Add the job to the environment. Each operator has a uid, by which a changed job finds its state again.

    Args:
        again: of a batch job's later rounds: files of records that came back, read instead of the source.
    """
    spec = plan.spec
    env.set_parallelism(spec.parallelism)
    env.set_runtime_mode(RuntimeExecutionMode.BATCH if spec.mode == "batch" else RuntimeExecutionMode.STREAMING)
    state = Path(plan.state)
    back = folders.back(state, plan.run_id)
    back.mkdir(parents=True, exist_ok=True)  # the pump serves the runs that have one
    if again is not None:
        parsed = [retried.bounded(env, again)]
    else:
        source = _source(env, plan)
        name_source(source, f"{spec.source.kind}-source")
        parsed = [source.process(ParseLines(plan), BYTES).name("parse").uid("parse")]
        if spec.mode == "streaming":
            parsed.append(retried.watched(env, back))

    def outcomes(stream: DataStream, branch: Branch) -> DataStream:
        # A task of its own: a bundle waits for all its calls, so a slow video would else hold a post's bundle and its
        # checkpoint. `route` runs in the same bundle and costs no hop. Timeout 0: Flink's timer is a thread a record.
        understood = AsyncDataStream.unordered_wait(
            stream, Understand(plan, branch), Time.seconds(0), spec.threads.capacity, BYTES
        )
        understood = understood.name(branch).uid(branch).start_new_chain()
        if isinstance(spec.sink, KafkaSink):
            routed = understood.process(RouteToKafka(plan), kafka.RECORD)
        else:
            routed = understood.process(Route(plan), Types.STRING())
        routed.name("route").uid(f"route-{branch}")
        # No bundle is larger than what may be under way, so that each waits for one deadline at most.
        size = min(spec.threads.capacity, _BUNDLE_OF_VIDEOS if branch == "video" else _BUNDLE)
        for operator in (understood, routed):
            bound_bundle(operator, size)
        return routed

    posts, images, videos = (
        _all(s if tag is None else _side(s, tag) for s in parsed) for tag in (None, IMAGES, VIDEOS)
    )
    results = [outcomes(images, "image"), outcomes(videos, "video"), outcomes(posts, "post")]
    handed = _side(results[0], HANDED).union(*(_side(branch, HANDED) for branch in results[1:]))
    handed.sink_to(files.sink(folders.handed(state), plan.run_id)).name("to the retry queue").uid("retry-queue")
    rows = _side(parsed[0], LEDGER).union(*(_side(branch, ENDED) for branch in results))
    rows.sink_to(files.sink(rows_folder(state), plan.run_id)).name("ledger").uid("ledger")
    if isinstance(spec.sink, KafkaSink):
        kafka.write(env, results[0].union(*results[1:]), spec.sink, plan.brokers(spec.sink), plan.run_id)
        return
    dead = [_side(branch, DEAD) for branch in results]
    ended = results[0].union(*results[1:]).sink_to(files.sink(spec.sink.path / "results", plan.run_id))
    ended.name("results").uid("results")
    letters = dead[0].union(*dead[1:]).sink_to(files.sink(spec.sink.path / "dead", plan.run_id))
    letters.name("dead letters").uid("dead-letters")


def _source(env: StreamExecutionEnvironment, plan: JobPlan) -> DataStream:
    spec = plan.spec
    if isinstance(spec.source, KafkaSource):
        return kafka.records(env, spec.source, plan.brokers(spec.source), plan.group, plan.ends)
    return files.lines(env, spec.source)


def _all(streams: Iterable[DataStream]) -> DataStream:
    first, *others = streams
    return first.union(*others) if others else first


def _side(stream: DataStream, tag: OutputTag) -> DataStream:
    """A side output as it is: PyFlink's own `get_side_output` sends each record through a Python worker once more."""
    return DataStream(stream._j_data_stream.getSideOutput(tag.get_java_output_tag()))
