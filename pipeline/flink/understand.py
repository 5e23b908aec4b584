"""The async operator, one per kind: everything between a parsed line and its published outcome."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pyflink.datastream import AsyncFunction

from pipeline.envelope import HANDED_OVER, finished, pack, unpack_envelope
from pipeline.flink.logs import to_worker_log
from pipeline.flink.plan import JobPlan
from pipeline.operator_edges import Branch, OperatorEdges
from reconcile.retry.entry import Entry, to_line

__all__ = ["Branch", "Understand"]


class Understand(AsyncFunction):
    """Packed envelope -> packed `Finished`, or what goes to the retry queue.

    Connections belong to the operator's own event loop, so they are made with the first record and not in `open`.
    """

    def __init__(self, plan: JobPlan, branch: Branch) -> None:
        self._plan = plan
        self._branch = branch
        self._edges: OperatorEdges | None = None
        self._connecting: asyncio.Task[None] | None = None

    def open(self, runtime_context: Any) -> None:  # noqa: ARG002
        """Called by Flink in the worker."""
        to_worker_log()

    async def async_invoke(self, value: bytes) -> list[bytes]:
        """One record; never raises for a record's sake (what escapes here would fail the job)."""
        if self._edges is None:
            plan = self._plan
            self._edges = OperatorEdges(plan.spec, plan.addresses, Path(plan.state), plan.run_id, self._branch)
            self._connecting = asyncio.get_running_loop().create_task(self._edges.connect())
        if self._connecting is not None:
            await self._connecting
            self._connecting = None
        envelope = unpack_envelope(value)
        ended = await self._edges.understand(envelope)
        if isinstance(ended, Entry):
            return [HANDED_OVER + to_line(ended)]
        return [pack(finished(ended, envelope, self._edges.features_of(envelope)))]

    def timeout(self, value: bytes) -> list[bytes]:
        """Never called: Flink's own timer starts a thread per record, deadlines are asyncio's here."""
        raise AssertionError(f"Flink's timeout is off, yet it fired for {value!r}")

    def close(self) -> None:
        """Ends the children and the ZooKeeper sessions."""
        if self._edges is not None:
            self._edges.close()
