"""What is kept of a trace."""

from __future__ import annotations

from typing import Any

import msgspec

THE_PASS = -1
"""As a span's parent: the pass itself."""


class Span(msgspec.Struct, array_like=True, gc=False):
    """One step; in the store an array, since a material has two dozen of them.

    `start`, `end`: epoch nanoseconds; `parent`: the place of its parent among the fragment's spans; `error`: why it
    failed, "" when it did not.
    """

    name: str
    start: int
    end: int
    parent: int = THE_PASS
    error: str = ""
    attributes: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e9


class Ending(msgspec.Struct, omit_defaults=True):
    """What a pass came to. `outcome`: a material's outcome, or `retry` when it went to the retry queue,
    where it is `due` at that moment (epoch seconds)."""

    outcome: str
    reason: str = ""
    content_id: str = ""
    matched: str = ""
    score: float = 0.0
    ranker: str = ""
    attempts: int = 1
    latency_ms: float = 0.0
    due: float = 0.0


class Fragment(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The spans of one trace that one process wrote: of a material, one pass through its operator.

    `id`: 8 hex digits, the first half of its spans' ids. `process`: who wrote it. `start`, `end`: epoch nanoseconds.
    `kept`: why it was not sampled away. `parent_span`: of the producer, where the record named one.
    """

    trace_id: str
    material_id: str
    id: str
    process: str
    name: str
    start: int
    end: int
    kind: str = ""
    revision: int = 0
    job: str = ""
    source: str = ""
    partition: int = 0
    offset: int = -1
    attempt: int = 1
    entered: int = 0
    parent_span: str = ""
    kept: str = ""
    ending: Ending | None = None
    spans: list[Span] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fragment)


def encode(fragment: Fragment) -> bytes:
    """One line of JSON, without its line break."""
    return _encoder.encode(fragment)


def decode(line: bytes) -> Fragment:
    """The inverse.

    Raises:
        msgspec.MsgspecError: it is no fragment.
    """
    return _decoder.decode(line)
