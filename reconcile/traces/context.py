"""W3C Trace Context (https://www.w3.org/TR/trace-context/), level 1: the `traceparent` of a record.

It comes in the record's field `traceparent` or in a Kafka header of that name; without one a trace begins here.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from typing import Final

import msgspec

FIELD: Final = "traceparent"
"""Of the input record, and the Kafka header's name."""
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_IN_A_LINE: Final = re.compile(rb'"traceparent"\s*:\s*"([0-9a-f-]{55})"')
_SAMPLED: Final = 1


class TraceContext(msgspec.Struct, frozen=True):
    """`trace_id`: 32 hex digits; `parent_span`: 16, of the caller's span, "" where the trace begins here; `sampled`:
    whether the caller keeps the trace."""

    trace_id: str
    parent_span: str = ""
    sampled: bool = False


def parse(traceparent: str) -> TraceContext | None:
    """The context that a header names; None for one that the standard says to ignore."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def traceparent(trace_id: str, span_id: str, *, sampled: bool = True) -> str:
    """The header."""
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"


def begin() -> TraceContext:
    """A trace of our own."""
    return TraceContext(secrets.token_hex(16))


def context_of(field: object = None, header: str = "", line: bytes = b"") -> TraceContext:
    """Where a record's trace goes on, or a new one.

    Args:
        field: the record's `traceparent`; anything but a valid one is ignored.
        header: of its Kafka message; it wins over the field, which a producer may have copied along.
        line: of a record that cannot be parsed: it may still hold a readable field.
    """
    found = parse(header) if header else None
    if found is not None:
        return found
    if field is None and line:
        match = _IN_A_LINE.search(line)
        field = match[1].decode("ascii") if match else None
    found = parse(field) if isinstance(field, str) else None
    return found or begin()


def root_span_id(trace_id: str, material_id: str) -> str:
    """Of the span that stands for a material's whole way. Every process derives the same, so that the parts of a trace
    which are written in different processes hang together."""
    return blake2b(f"{trace_id}/{material_id}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def is_in_share(trace_id: str, share: float) -> bool:
    """Whether a trace belongs to the `share` (0..1) that is kept: by its id alone, so that all processes agree
    (OpenTelemetry's TraceIdRatioBased)."""
    return int(trace_id[16:], 16) < share * 2.0**64
