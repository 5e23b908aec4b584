"""From what flows through the job to the ledger's rows."""

from __future__ import annotations

from materials.records import Outcome
from pipeline.envelope import Envelope, Finished
from pipeline.flink.plan import JobPlan
from reconcile.ledger.rows import NO_KIND, LedgerRow, window_of


class LedgerRows:
    """Makes the rows of one run."""

    def __init__(self, plan: JobPlan) -> None:
        spec = plan.spec
        self._run, self._chain = plan.run_id, plan.chain or plan.run_id
        self._job, self._policy = spec.name, spec.policy

    def entered(self, envelope: Envelope) -> LedgerRow:
        """A record was read from the source; write it for its first attempt only."""
        return LedgerRow(
            window=window_of(envelope.entered_at),
            kind=envelope.kind or NO_KIND,
            material_id=envelope.material_id,
            revision=envelope.revision,
            source=envelope.source,
            partition=envelope.partition,
            offset=envelope.offset,
            stage="entered",
            run=self._run,
            chain=self._chain,
            job=self._job,
            policy=self._policy,
            entered_at=envelope.entered_at,
            at=envelope.entered_at,
        )

    def ended(self, finished: Finished) -> LedgerRow:
        """A record has its outcome."""
        outcome = finished.outcome
        got, lacking = _plugins(outcome)
        return LedgerRow(
            window=window_of(finished.entered_at),
            kind=outcome.kind or NO_KIND,
            material_id=outcome.material_id,
            revision=outcome.revision,
            source=finished.source,
            partition=finished.partition,
            offset=finished.offset,
            stage="ended",
            outcome=outcome.outcome,
            content_id=outcome.content_id or "",
            run=self._run,
            chain=self._chain,
            job=self._job,
            policy=self._policy,
            entered_at=finished.entered_at,
            at=finished.entered_at + outcome.latency_ms / 1000.0,
            attempts=outcome.attempts,
            cause=(outcome.reason or "").partition(":")[0],
            plugins=",".join(got),
            missing=",".join(lacking),
        )


def _plugins(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Plug-ins with versions that gave a feature, and those that failed; of the material and of its parts."""
    lacking = {key for key, value in outcome.features.items() if isinstance(value, dict) and "missing" in value}
    got = set(outcome.features) - lacking
    for part in outcome.parts:
        lacking |= set(part.get("missing", {}))
    return sorted(got - lacking), sorted(lacking)
