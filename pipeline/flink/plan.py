"""What the operators need to know, small enough to travel with the job graph."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.addresses import Addresses
from pipeline.spec import JobSpec


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A validated spec (as JSON: operators are pickled), the addresses of the system's parts, its folder, and the run's
    name. `chain`: the run whose input this one goes on with; empty for its own."""

    spec_json: str
    addresses: Addresses
    state: str
    run_id: str
    chain: str = ""

    @property
    def spec(self) -> JobSpec:
        """The spec, parsed again."""
        return JobSpec.model_validate_json(self.spec_json)


def plan(spec: JobSpec, addresses: Addresses, state: Path, run_id: str, chain: str = "") -> JobPlan:
    """Pack a plan."""
    return JobPlan(spec_json=spec.model_dump_json(), addresses=addresses, state=str(state), run_id=run_id, chain=chain)
