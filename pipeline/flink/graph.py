"""The job graph: source -> parse -> one async operator per kind -> route -> sinks. The same in both modes."""

from __future__ import annotations

from pyflink.common import Time, Types
from pyflink.datastream import AsyncDataStream, DataStream, RuntimeExecutionMode, StreamExecutionEnvironment

from pipeline.flink.files import lines, sink
from pipeline.flink.parse import BYTES, IMAGES, VIDEOS, ParseLines
from pipeline.flink.plan import JobPlan
from pipeline.flink.route import DEAD, Route
from pipeline.flink.understand import Branch, Understand


def build(env: StreamExecutionEnvironment, plan: JobPlan) -> None:
    """Add the job to the environment."""
    spec = plan.spec
    env.set_parallelism(spec.parallelism)
    env.set_runtime_mode(RuntimeExecutionMode.BATCH if spec.mode == "batch" else RuntimeExecutionMode.STREAMING)
    posts = lines(env, spec.source).process(ParseLines(plan), BYTES).name("parse")
    images, videos = posts.get_side_output(IMAGES), posts.get_side_output(VIDEOS)

    def understand(stream: DataStream, branch: Branch) -> DataStream:
        # Not chained: a bundle waits for all its calls, so a slow video would hold a post's bundle and its checkpoint.
        # Timeout 0: Flink's own timer starts an OS thread a record.
        return (
            AsyncDataStream.unordered_wait(
                stream, Understand(plan, branch), Time.seconds(0), spec.threads.capacity, BYTES
            )
            .name(branch)
            .disable_chaining()
        )

    finished = understand(images, "image").union(understand(videos, "video"), understand(posts, "post"))
    results = finished.process(Route(), Types.STRING()).name("route")
    results.sink_to(sink(spec.sink.path / "results", plan.run_id)).name("results")
    results.get_side_output(DEAD).sink_to(sink(spec.sink.path / "dead", plan.run_id)).name("dead letters")
