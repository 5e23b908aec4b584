"""Last operator: an outcome becomes its result line and ledger row, a dead one also a dead letter. Counts them.

What goes to the retry queue leaves by a side output of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import OutputTag, ProcessFunction

from materials.records import OUTCOMES
from pipeline.envelope import HANDED_OVER, dead_letter, result_line, unpack_finished
from pipeline.flink.logs import to_worker_log
from pipeline.flink.plan import JobPlan
from pipeline.kafka.routing import KafkaRouting
from pipeline.kafka.settings import KafkaSink
from pipeline.ledger_rows import LedgerRows
from reconcile.ledger.rows import encode

DEAD = OutputTag("dead", Types.STRING())
ENDED = OutputTag("ended", Types.STRING())
HANDED = OutputTag("handed", Types.STRING())


class Route(ProcessFunction):
    """Counters stand here and not in the async operator, where PyFlink loses them (its calls run in another thread)."""

    def __init__(self, plan: JobPlan) -> None:
        self._ledger = LedgerRows(plan)
        self._counters: dict[str, Any] = {}

    def open(self, runtime_context: Any) -> None:
        """Called by Flink in the worker."""
        group = runtime_context.get_metrics_group().add_group("sosie")
        self._counters = {outcome: group.counter(f"outcome_{outcome}") for outcome in OUTCOMES}
        self._counters["handed_over"] = group.counter("handed_over")

    def process_element(self, value: bytes, ctx: Any) -> Iterator[Any]:  # noqa: ARG002
        """One finished record."""
        if value.startswith(HANDED_OVER):
            self._counters["handed_over"].inc()
            yield HANDED, value[len(HANDED_OVER) :].decode()
            return
        finished = unpack_finished(value)
        self._counters[finished.outcome.outcome].inc()
        if finished.outcome.outcome == "dead":
            yield DEAD, dead_letter(finished)
        yield ENDED, encode(self._ledger.ended(finished))
        yield result_line(finished.outcome)


class RouteToKafka(Route):
    """Finished records -> rows of `pipeline.flink.kafka.RECORD`; the topic by the job's rule, as it stands then."""

    def __init__(self, plan: JobPlan) -> None:
        super().__init__(plan)
        self._plan = plan
        self._routing: KafkaRouting | None = None

    def open(self, runtime_context: Any) -> None:
        """Called by Flink in the worker."""
        super().open(runtime_context)
        to_worker_log()
        spec = self._plan.spec
        if not isinstance(spec.sink, KafkaSink):
            raise TypeError("the job's sink is not Kafka")
        self._routing = KafkaRouting(spec.sink, spec.name, self._plan.addresses.zookeeper)

    def process_element(self, value: bytes, ctx: Any) -> Iterator[Any]:
        """One finished record."""
        assert self._routing is not None  # noqa: S101 (open ran)
        if value.startswith(HANDED_OVER):
            yield from super().process_element(value, ctx)
            return
        finished = unpack_finished(value)
        self._counters[finished.outcome.outcome].inc()
        yield ENDED, encode(self._ledger.ended(finished))
        for record in self._routing.records(finished):
            yield Row(*record)

    def close(self) -> None:
        """Ends the ZooKeeper session."""
        if self._routing is not None:
            self._routing.close()
