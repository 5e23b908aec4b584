"""From an operator to the retry queue: whether a record may come back, when, and the leave to let go of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from materials.errors import Overloaded, Retryable
from pipeline.envelope import Envelope, pack
from pipeline.spec import JobSpec
from reconcile.retry.backoff import RetryRule, pause
from reconcile.retry.entry import Entry

_ASK_AGAIN_S = 0.5
_ASK_AGAIN_MOST_S = 5.0
_MESSAGE = 500
log = structlog.get_logger(__name__)


class Leave(Protocol):
    """The queue's bound."""

    async def ask(self, entry_id: str, now: float) -> None:
        """See `reconcile.retry.admission.Admission`."""
        ...


class Rules(msgspec.Struct, frozen=True):
    """A job's limits. `fast`: attempts inside the operator; `plugins`: by name, of those that have their own."""

    fast: int
    job: RetryRule
    plugins: Mapping[str, RetryRule]

    def of(self, plugin: str) -> RetryRule:
        """For a failure of that plug-in, `name@version`; "" for one that is none's."""
        return self.plugins.get(plugin.partition("@")[0], self.job)


def rules_of(spec: JobSpec) -> Rules:
    """What the spec says."""
    own = {
        use.name: RetryRule(use.retry.attempts, use.retry.base_s, use.retry.max_s)
        for use in spec.plugins
        if use.retry is not None
    }
    queue = spec.retry.queue
    return Rules(spec.retry.attempts, RetryRule(queue.attempts, queue.base_s, queue.max_s), own)


class HandOver:
    """The operators' side of the queue.

    Args:
        rules: the job's limits.
        leave: asked before a record is let go.
        job: its name.
        policy: its policy.
        run_id: names the run, to which the record comes back.
        now: epoch seconds.
        jitter: uniform in 0..1.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        leave: Leave,
        job: str,
        policy: str,
        run_id: str,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._leave = leave
        self._job = job
        self._policy = policy
        self._run_id = run_id
        self._now = now
        self._jitter = jitter

    async def take(self, envelope: Envelope, error: Retryable, attempt: int) -> Entry | None:
        """The record's place in the queue; None when its attempts are spent.

        While the queue is full or away this waits, and with it the record, unacknowledged: no checkpoint passes.
        """
        rule = self._rules.of(error.plugin)
        if attempt >= rule.attempts:
            return None
        wish = error.retry_after if isinstance(error, Overloaded) else 0.0
        failed_at = self._now()
        wait = pause(max(0, attempt - self._rules.fast), rule.base_s, rule.max_s, self._jitter(), wish)
        material = envelope.material
        entry = Entry(
            entry_id=uuid.uuid4().hex,
            run_id=self._run_id,
            job=self._job,
            policy=self._policy,
            material_id=envelope.material_id,
            revision=envelope.revision,
            kind=envelope.kind,
            biz=material.biz if material is not None else "",
            plugin=error.plugin,
            error=type(error).__name__,
            message=str(error)[:_MESSAGE],
            attempt=attempt,
            entered_at=envelope.entered_at,
            failed_at=failed_at,
            due_at=failed_at + wait,
            trace_id=envelope.trace_id,
            record=pack(msgspec.structs.replace(envelope, attempt=attempt + 1)),
        )
        await self._wait_for_leave(entry)
        return entry

    async def _wait_for_leave(self, entry: Entry) -> None:
        asked = 0
        while True:
            try:
                await self._leave.ask(entry.entry_id, self._now())
                return
            except Retryable as error:
                log.warning("retry_queue_waits", material_id=entry.material_id, error=str(error))
            await asyncio.sleep(_ASK_AGAIN_S / 2 + pause(asked, _ASK_AGAIN_S, _ASK_AGAIN_MOST_S, self._jitter()))
            asked += 1
