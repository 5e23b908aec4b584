"""First operator: a raw line becomes an `Envelope`, sent to its kind's side output.

A refused line goes to the posts' operator, which publishes it like every other outcome and touches nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import OutputTag, ProcessFunction

from materials.errors import Rejected
from materials.parsing import parse_line, readable_id
from pipeline.envelope import Envelope, pack
from pipeline.flink.plan import JobPlan
from pipeline.ledger_rows import LedgerRows
from pipeline.origins import Origin, Origins, origins_of
from reconcile.ledger.rows import encode
from reconcile.traces.context import FIELD, context_of

BYTES = Types.PICKLED_BYTE_ARRAY()
IMAGES = OutputTag("images", BYTES)
VIDEOS = OutputTag("videos", BYTES)
LEDGER = OutputTag("entered", Types.STRING())
SIDES = {"image": IMAGES, "video": VIDEOS}


class ParseLines(ProcessFunction):
    """Rows of the source -> packed envelopes; main output: posts and refusals."""

    def __init__(self, plan: JobPlan) -> None:
        self._plan = plan
        self._ledger = LedgerRows(plan)
        self._origins: Origins | None = None

    def open(self, runtime_context: Any) -> None:  # noqa: ARG002
        """Called by Flink in the worker."""
        self._origins = origins_of(self._plan.spec.source, is_bad)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:  # noqa: ARG002
        """One line."""
        assert self._origins is not None  # noqa: S101 (open ran)
        read = self._origins.read(value)
        if read is None:
            return
        line, origin = read
        envelope = self._envelope(line, origin, value)
        if envelope.attempt == 1:
            yield LEDGER, encode(self._ledger.entered(envelope))
        side = SIDES.get(envelope.kind or "") if envelope.rejection is None else None
        yield (side, pack(envelope)) if side is not None else pack(envelope)

    def _envelope(self, line: bytes, origin: Origin, row: Any) -> Envelope:
        began = time.time_ns()
        now = began / 1e9
        try:
            material = parse_line(line, "")
        except Rejected:
            assert self._origins is not None  # noqa: S101 (open ran)
            where = self._origins.where(line, origin, row)
            known = readable_id(line)
            trace = context_of(header=origin.traceparent, line=line)
            return Envelope(
                material_id=known if known is not None else f"@{where}",
                kind=None,
                base=origin.base,
                line=line,
                entered_at=now,
                trace_id=trace.trace_id,
                rejection=_reason(line, where),
                source=origin.source,
                partition=origin.partition,
                offset=origin.offset,
                key=origin.key,
                parent_span=trace.parent_span,
                sampled=trace.sampled,
                parsed=(began, time.time_ns()),
            )
        trace = context_of(material.extra.get(FIELD), origin.traceparent)
        return Envelope(
            material_id=material.material_id,
            kind=material.kind,
            base=origin.base,
            line=line,
            entered_at=now,
            trace_id=trace.trace_id,
            material=material,
            revision=material.revision,
            source=origin.source,
            partition=origin.partition,
            offset=origin.offset,
            key=origin.key,
            parent_span=trace.parent_span,
            sampled=trace.sampled,
            parsed=(began, time.time_ns()),
        )


def is_bad(line: bytes) -> bool:
    """Whether a line is refused."""
    try:
        parse_line(line, "")
    except Rejected:
        return True
    return False


def _reason(line: bytes, where: str) -> str:
    """`code: sentence` of a bad line; its place is looked up only now, since few lines are bad."""
    try:
        parse_line(line, where)
    except Rejected as error:
        return error.reason
    raise AssertionError(f"{where} is not bad")
