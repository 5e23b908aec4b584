"""What the operators need to know, small enough to travel with the job graph."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.addresses import Addresses
from materials.errors import UsageError
from pipeline.kafka.settings import KafkaSink, KafkaSource
from pipeline.spec import JobSpec

Bounds = dict[str, dict[int, int]]
"""Topic -> partition -> offset."""


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A validated spec (as JSON: operators are pickled), the addresses of the system's parts, its folder, and the run's
    name. `chain`: the run whose input this one goes on with; empty for its own. `starts`, `ends`: of a Kafka source,
    topic -> partition -> offset: where it began when the run was planned, and, if it is bounded, where it ends."""

    spec_json: str
    addresses: Addresses
    state: str
    run_id: str
    chain: str = ""
    starts: Bounds = {}
    ends: Bounds = {}

    @property
    def spec(self) -> JobSpec:
        """The spec, parsed again."""
        return JobSpec.model_validate_json(self.spec_json)

    def brokers(self, part: KafkaSource | KafkaSink) -> str:
        """Bootstrap servers of a source or sink: its own, else the stack's.

        Raises:
            UsageError: there are none.
        """
        found = part.bootstrap or self.addresses.kafka
        if not found:
            raise UsageError(
                "the job reads or writes Kafka, and no broker is known", "sosie up --kafka, or give `bootstrap`"
            )
        return found

    @property
    def group(self) -> str:
        """Of the job's consumers."""
        spec = self.spec
        return (spec.source.group if isinstance(spec.source, KafkaSource) else "") or f"sosie-{spec.name}"


def plan(spec: JobSpec, addresses: Addresses, state: Path, run_id: str, chain: str = "") -> JobPlan:
    """Pack a plan."""
    return JobPlan(spec_json=spec.model_dump_json(), addresses=addresses, state=str(state), run_id=run_id, chain=chain)
