"""The edges of one material's way, each with its spans: what stands behind them is called as it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from materials.records import AssignItem, Assignment, Features, Outcome
from model_plugins.protocol import MediaKind
from model_plugins.runtime.findings import Findings
from model_plugins.runtime.wants import NOTHING, Wants
from pipeline.media.medium import Prepared
from pipeline.media.shown import shown
from pipeline.tracing.recording import Recording, current, enter_medium, step, told
from pipeline.understanding import Cache, Compute, Media, Publisher
from reconcile.traces.context import traceparent
from reconcile.traces.records import Span
from vector_index.call_timing import CallTiming


class TimedAssigner(Protocol):
    """`pipeline.assigner.BatchingAssigner`."""

    async def assign_one(self, item: AssignItem, timing: CallTiming | None = None) -> Assignment:
        """Assign; a replay returns the stored assignment."""
        ...


class TracedMedia:
    """Span `media`: fetching and decoding; below it the wait for a decoder and the child's own steps."""

    def __init__(self, inner: Media) -> None:
        self._inner = inner

    async def prepare(self, uri: str, base: Path, kind: Literal["image", "video"], wants: Wants = NOTHING) -> Prepared:
        """See `MediaPool.prepare`."""
        recording = current()
        if recording is None:
            return await self._inner.prepare(uri, base, kind, wants)
        name = shown(uri)
        enter_medium(name)
        start = time.time_ns()
        error, prepared = "", None
        try:
            prepared = await self._inner.prepare(uri, base, kind, wants)
            return prepared
        except BaseException as raised:
            error = told(raised)
            raise
        finally:
            place = recording.add("media", start, time.time_ns(), error=error, medium=name, kind=kind)
            if prepared is not None:
                _add_stages(recording, prepared, place, start)


def _add_stages(recording: Recording, prepared: Prepared, place: int, start: int) -> None:
    spans = recording.spans
    about = spans[place].attributes
    about["sha256"] = prepared.sha256.hex()[:12]
    about["size"] = f"{prepared.width}x{prepared.height}"
    if prepared.duration:
        about["duration_s"] = round(prepared.duration, 2)
    moment = start
    for name, began, ended in prepared.stages:
        stage, _, plugin = name.partition(" ")
        if stage == "decode.read":
            spans.append(Span("decode.wait", moment, max(moment, began), place))
        failure = prepared.failures.get(plugin) if plugin else None
        error = "" if failure is None else failure.reason
        spans.append(Span(stage, began, ended, place, error, {"plugin": plugin} if plugin else {}))
        moment = ended


class TracedCache:
    """Span `cache`: until it is known which features of the same bytes are there already."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner

    async def find(self, kind: MediaKind, sha256: bytes, compute: Compute) -> Findings:
        """See `FeatureCache.find`."""
        recording = current()
        if recording is None:
            return await self._inner.find(kind, sha256, compute)
        start = time.time_ns()

        async def computed(known: Features) -> Findings:
            recording.add("cache", start, time.time_ns(), known=",".join(sorted(known)))
            return await compute(known)

        return await self._inner.find(kind, sha256, computed)


class TracedAssigner:
    """Span `assign`: below it the wait for a call, the service's wait for its writer, and its decision."""

    def __init__(self, inner: TimedAssigner) -> None:
        self._inner = inner

    async def assign_one(self, item: AssignItem) -> Assignment:
        """See `BatchingAssigner.assign_one`."""
        recording = current()
        if recording is None:
            return await self._inner.assign_one(item)
        timing = CallTiming(traceparent(recording.trace_id, recording.span_id))
        start = time.time_ns()
        error = ""
        about: dict[str, Any] = {}
        try:
            assignment = await self._inner.assign_one(item, timing)
            if assignment.replayed:
                about["replayed"] = True
            about["candidates"] = len(assignment.candidates)
            return assignment
        except BaseException as raised:
            error = told(raised)
            raise
        finally:
            place = recording.add("assign", start, time.time_ns(), error=error, **about)
            _add_call(recording, timing, place)


def _add_call(recording: Recording, timing: CallTiming, place: int) -> None:
    if not timing.sent:
        return
    recording.add("assign.wait", timing.asked, timing.sent, place)
    if not timing.answered:
        return
    call = recording.add("assign.call", timing.sent, timing.answered, place, items=timing.items)
    if timing.decided_ms < 0:
        return
    # The service's clock is not ours: its times are laid so that the wire took as long there as back.
    waited, decided = int(timing.waited_ms * 1e6), int(timing.decided_ms * 1e6)
    began = timing.sent + max(0, timing.answered - timing.sent - waited - decided) // 2
    recording.add("index.wait", began, began + waited, call)
    recording.add("index.decide", began + waited, began + waited + decided, call)


class TracedPublisher:
    """Span `publish`."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner

    async def publish(
        self, outcome: Outcome, features: dict[str, Features], stamps: Mapping[str, bytes] | None = None
    ) -> None:
        """See `Projection.publish`."""
        with step("publish"):
            await self._inner.publish(outcome, features, stamps)
