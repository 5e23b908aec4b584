"""Fragments as OpenTelemetry spans, sent to a collector over OTLP/HTTP (protobuf)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from reconcile.traces.context import root_span_id
from reconcile.traces.drain import Drain
from reconcile.traces.records import THE_PASS, Fragment, Span

_SCOPE: Final = InstrumentationScope("sosie")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_BATCH: Final = 200


class OtlpExporter:
    """Sends fragments in a thread of its own; a collector that is away or slow costs traces, and nothing else.

    Args:
        endpoint: `http://HOST:4318/v1/traces`; "": as the standard environment variables `OTEL_EXPORTER_OTLP_…` say.
        timeout: seconds for one batch.
    """

    def __init__(self, endpoint: str = "", timeout: float = 10.0) -> None:
        self._exporter = OTLPSpanExporter(endpoint=endpoint or None, timeout=timeout)
        self._drain: Drain[Fragment] = Drain("trace-otlp", self._send, pause=1.0)

    def put(self, fragment: Fragment) -> None:
        """Send it. Never waits."""
        self._drain.put(fragment)

    def close(self) -> None:
        """Send the rest."""
        self._drain.close()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _send(self, fragments: list[Fragment]) -> None:
        for first in range(0, len(fragments), _BATCH):
            self._exporter.export([span for each in fragments[first : first + _BATCH] for span in spans_of(each)])


def spans_of(fragment: Fragment) -> Iterator[ReadableSpan]:
    """The pass, its steps, and with the material's end the span of its whole way, to which all passes belong."""
    resource = Resource({"service.name": "sosie", "sosie.job": fragment.job, "sosie.process": fragment.process})
    root = root_span_id(fragment.trace_id, fragment.material_id)
    about: dict[str, Any] = {
        "sosie.material_id": fragment.material_id,
        "sosie.kind": fragment.kind,
        "sosie.revision": fragment.revision,
        "sosie.attempt": fragment.attempt,
    }

    def span(
        name: str, span_id: str, parent: str, start: int, end: int, error: str, attributes: dict[str, Any]
    ) -> ReadableSpan:
        return ReadableSpan(
            name=name,
            context=_context(fragment.trace_id, span_id, remote=False),
            parent=_context(fragment.trace_id, parent, remote=parent == fragment.parent_span) if parent else None,
            resource=resource,
            attributes=attributes,
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.OK),
            start_time=start,
            end_time=end,
            instrumentation_scope=_SCOPE,
        )

    ending = fragment.ending
    told = {} if ending is None else {"sosie.outcome": ending.outcome, "sosie.reason": ending.reason}
    error = ending.reason if ending is not None and ending.outcome in ("dead", "rejected", "retry") else ""
    yield span(fragment.name, _id(fragment, THE_PASS), root, fragment.start, fragment.end, error, about | told)
    for place, step in enumerate(fragment.spans):
        own = {f"sosie.{key}": _plain(value) for key, value in step.attributes.items()}
        parent = _id(fragment, step.parent)
        yield span(_name(step), _id(fragment, place), parent, step.start, step.end, step.error, own)
    if ending is not None and ending.outcome != "retry":
        began = min(fragment.entered or fragment.start, fragment.start)
        yield span("material", root, fragment.parent_span, began, fragment.end, error, about | told)


def _name(step: Span) -> str:
    what = step.attributes.get("plugin") or step.attributes.get("model")
    return f"{step.name} {what}" if what else step.name


def _id(fragment: Fragment, place: int) -> str:
    return f"{fragment.id}{place + 1:08x}"


def _context(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=_SAMPLED)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)
