"""Plug-ins and their model calls in a material's recording.

A material's rows share batches with others', and a batch is called in a task of its own. So what a plug-in's rows went
through is kept beside them, and becomes spans when they are back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from model_plugins.observing import Attempt, CallObserver, FailureKind
from model_plugins.protocol import ModelRef
from model_plugins.runtime.observing import RunObserver, RunResult
from pipeline.tracing.recording import Recording, current, medium
from reconcile.traces.records import Span

_tries: ContextVar[list[Span] | None] = ContextVar("sosie_model_tries", default=None)


class _Left(NamedTuple):
    """A batch that left: its rows, when, and the attempts of its call."""

    rows: int
    at: int
    tries: list[Span]


class _Asked:
    """One plug-in's rows on their way."""

    __slots__ = ("at", "batches", "medium", "model", "plugin", "recording")

    def __init__(self, recording: Recording, plugin: str, model: ModelRef) -> None:
        self.recording = recording
        self.plugin = plugin
        self.model = model
        self.medium = medium()
        self.at = time.time_ns()
        self.batches: list[_Left] = []


class ModelCallTracer:
    """A `CallTracer`; see `model_plugins.runtime.observing`."""

    def asked(self, plugin: str, model: ModelRef) -> object:
        """None for a material of which nothing is recorded."""
        recording = current()
        return None if recording is None else _Asked(recording, plugin, model)

    @contextmanager
    def batch(self, rows: int, tokens: Sequence[object]) -> Iterator[None]:
        """Attempts that are told meanwhile belong to this batch."""
        tries: list[Span] = []
        left = _Left(rows, time.time_ns(), tries)
        for token in tokens:
            if isinstance(token, _Asked):
                token.batches.append(left)
        before = _tries.set(tries)
        try:
            yield
        finally:
            _tries.reset(before)

    def answered(self, token: object) -> None:
        """The rows' batches become spans: the wait for company and a slot, then each attempt."""
        if not isinstance(token, _Asked):
            return
        now = time.time_ns()
        about: dict[str, Any] = {"model": token.model.name, "plugin": token.plugin}
        if token.medium:
            about["medium"] = token.medium
        if token.model.version:
            about["version"] = token.model.version
        place = token.recording.add("model", token.at, now, **about)
        token.recording.models.append(token.recording.spans[place])
        waited = token.batches[0].at if token.batches else now
        token.recording.add("model.wait", token.at, waited, place)
        for batch in token.batches:
            for number, each in enumerate(batch.tries, start=1):
                attributes = each.attributes | {"attempt": number, "rows": batch.rows}
                token.recording.spans.append(Span("model.call", each.start, each.end, place, each.error, attributes))


class Counts(RunObserver, CallObserver, Protocol):
    """What is told besides: `model_plugins.metrics.recorder.Recorder` is one."""


class TracingObserver:
    """A `RunObserver` and a `CallObserver` that records, and tells everything on.

    Args:
        inner: counts.
    """

    def __init__(self, inner: Counts) -> None:
        self._inner = inner
        self.attempt_started = inner.attempt_started
        self.retried = inner.retried
        self.hedged = inner.hedged
        self.ejected = inner.ejected
        self.readmitted = inner.readmitted
        self.batch_formed = inner.batch_formed

    def plugin_ran(self, plugin: str, seconds: float, result: RunResult) -> None:
        """In the medium's own context."""
        self._inner.plugin_ran(plugin, seconds, result)
        recording = current()
        if recording is None:
            return
        now = time.time_ns()
        about: dict[str, Any] = {"plugin": plugin, "result": result}
        name_of_medium = medium()
        if name_of_medium:
            about["medium"] = name_of_medium
        error = result if result in ("failed", "rejected") else ""
        place = recording.add("plugin", now - int(seconds * 1e9), now, error=error, **about)
        name = plugin.partition("@")[0]
        for span in recording.models:
            if span.attributes["plugin"] == name and span.attributes.get("medium", "") == about.get("medium", ""):
                span.parent = place
                recording.models.remove(span)
                break

    def attempt_ended(self, attempt: Attempt, seconds: float, failure: FailureKind | None, served: str) -> None:
        """In the batch's task, or in a hedge's, which shares its list."""
        self._inner.attempt_ended(attempt, seconds, failure, served)
        tries = _tries.get()
        if tries is None:
            return
        now = time.time_ns()
        about: dict[str, Any] = {"endpoint": attempt.endpoint}
        if served or attempt.version:
            about["version"] = served or attempt.version
        if attempt.hedge:
            about["hedge"] = True
        tries.append(Span("model.call", now - int(seconds * 1e9), now, error=failure or "", attributes=about))
