"""Tracing of one operator: begins a recording for each material, and decides at its end what is kept."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from materials.records import Outcome
from pipeline.envelope import Envelope
from pipeline.spec import Tracing
from pipeline.tracing.recording import Recording, current, recorded, told
from reconcile.traces.records import Ending, Fragment, Span
from reconcile.traces.sampling import Sampling, reason_to_keep
from reconcile.traces.segments import FOLDER, Bounds, TraceWriter


class Waiting(Protocol):
    """A place in the retry queue: `reconcile.retry.entry.Entry`."""

    @property
    def attempt(self) -> int:
        """Attempts spent."""
        ...

    @property
    def message(self) -> str:
        """Of the error."""
        ...

    @property
    def due_at(self) -> float:
        """Epoch seconds."""
        ...


T = TypeVar("T", bound=Outcome | Waiting)
OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Environment of the standard: where one is set, traces go there too."""


class OperatorTracing:
    """Belongs to one operator; `close` may be called from any thread.

    Args:
        settings: of the job.
        state: the system's folder.
        run_id: names the run.
        branch: the kind of material.
    """

    def __init__(self, settings: Tracing, state: Path, run_id: str, branch: str) -> None:
        self._sampling = Sampling(settings.keep, settings.duplicates, settings.slow_ms)
        self._job = run_id
        self._process = f"{branch}@{socket.gethostname()}:{os.getpid()}"
        bounds = Bounds(settings.max_mb << 20, settings.max_days * 86_400.0)
        self._otlp = None
        if settings.otlp or any(os.environ.get(name) for name in OTLP_VARIABLES):
            from reconcile.traces.otlp import OtlpExporter  # its imports take longer than all of ours

            self._otlp = OtlpExporter(settings.otlp)
        self._writer = TraceWriter(state / FOLDER, bounds, None if self._otlp is None else self._otlp.put)

    async def follow(self, envelope: Envelope, understand: Callable[[Envelope], Awaitable[T]]) -> T:
        """What `understand` gives, an outcome or a place in the retry queue, and the trace of its making."""
        start = time.time_ns()
        fragment_id = f"{random.getrandbits(32):08x}"
        recording = Recording(start, envelope.trace_id, f"{fragment_id}{0:08x}")
        with recorded(recording):
            ended = await understand(envelope)
        self._keep(envelope, recording, fragment_id, ending_of(ended, envelope.entered_at))
        return ended

    def attempt_failed(self, attempt: int, error: Exception, pause: float) -> None:
        """An `AttemptObserver` for the material at hand."""
        recording = current()
        if recording is not None:
            recording.attempt_failed(attempt, told(error), time.time_ns(), pause)

    def _keep(self, envelope: Envelope, recording: Recording, fragment_id: str, ending: Ending) -> None:
        now = time.time_ns()
        recording.attempts_over(now)
        kept = reason_to_keep(
            self._sampling, envelope.trace_id, ending, troubled=recording.troubled, asked=envelope.sampled
        )
        if not kept:
            return
        # a record that comes back from the retry queue was parsed in its first pass
        parse_start, parse_end = envelope.parsed if envelope.attempt == 1 else (0, 0)
        spans = recording.spans
        if parse_end:
            # appended, so that the places of parents stay
            spans.append(Span("parse", parse_start, parse_end))
            spans.append(Span("queue", parse_end, max(parse_end, recording.began)))
        self._writer.put(
            Fragment(
                trace_id=envelope.trace_id,
                material_id=envelope.material_id,
                id=fragment_id,
                process=self._process,
                name="pass",
                start=parse_start or recording.began,
                end=now,
                kind=envelope.kind or "",
                revision=envelope.revision,
                job=self._job,
                source=envelope.source,
                partition=envelope.partition,
                offset=envelope.offset,
                attempt=envelope.attempt,
                entered=int(envelope.entered_at * 1e9),
                parent_span=envelope.parent_span,
                kept=kept,
                ending=ending,
                spans=spans,
            )
        )

    def close(self) -> None:
        """Write and send the rest."""
        self._writer.close()
        if self._otlp is not None:
            self._otlp.close()


def ending_of(ended: Outcome | Waiting, entered_at: float) -> Ending:
    """What a trace keeps of an outcome, or of a place in the retry queue."""
    if not isinstance(ended, Outcome):
        latency = (time.time() - entered_at) * 1e3
        return Ending("retry", ended.message, attempts=ended.attempt, latency_ms=latency, due=ended.due_at)
    matched = ended.matched or {}
    return Ending(
        outcome=ended.outcome,
        reason=ended.reason or "",
        content_id=ended.content_id or "",
        matched=str(matched.get("material_id", "")),
        score=float(matched.get("score", 0.0)),
        ranker=str(matched.get("ranker", "")),
        attempts=ended.attempts,
        latency_ms=ended.latency_ms,
    )
