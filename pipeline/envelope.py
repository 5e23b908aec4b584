"""What flows between the operators: msgpack bytes of an `Envelope` on the way in, of a `Finished` on the way out.

Media bytes never flow: a Python worker moves 18k small records a second, but only 1k of 100 KB.
"""

from __future__ import annotations

from typing import Any

import msgspec

from materials.records import Features, Material, Outcome


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed line, or one that was refused (`rejection`).

    `base`: the input file's folder; `line`: the input line as it came, for a dead letter; `entered_at`: epoch seconds
    of its first attempt: windows of the ledger go by it, whatever attempt ends it.
    `source`: the file, relative to the job's source, or the topic; `partition`: 0 for files; `offset`: -1 where the
    source does not tell it. `attempt`: of the whole job, 1 for a record that comes from the source; a record that comes
    back from the retry queue counts on. `key`: the Kafka record's own, "" for files. `dropped`: a person's reason to
    end it in the queue.
    `parent_span`, `sampled`: of the producer's W3C trace context, where the record brought one. `parsed`: when this
    pass was parsed, start and end in epoch nanoseconds.
    """

    material_id: str
    kind: str | None
    base: str
    line: bytes
    entered_at: float
    trace_id: str
    material: Material | None = None
    revision: int = 0
    rejection: str | None = None
    source: str = ""
    partition: int = 0
    offset: int = -1
    attempt: int = 1
    key: str = ""
    parent_span: str = ""
    sampled: bool = False
    parsed: tuple[int, int] = (0, 0)
    dropped: str = ""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome on its way to the sinks. `line` goes into the dead letter when the outcome is `dead`; the rest is its
    envelope's, for the ledger, but for `features`: by material id, where the sink wants them."""

    outcome: Outcome
    line: bytes
    entered_at: float = 0.0
    source: str = ""
    partition: int = 0
    offset: int = -1
    features: dict[str, Features] = {}

    @property
    def origin(self) -> str:
        """`topic-partition:offset` of the line where the source tells it, else the source alone."""
        return f"{self.source}-{self.partition}:{self.offset}" if self.offset >= 0 else self.source


def finished(outcome: Outcome, envelope: Envelope, features: dict[str, Features] | None = None) -> Finished:
    """The outcome of an envelope's record."""
    return Finished(
        outcome=outcome,
        line=envelope.line,
        entered_at=envelope.entered_at,
        source=envelope.source,
        partition=envelope.partition,
        offset=envelope.offset,
        features=features or {},
    )


_encoder = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_finished = msgspec.msgpack.Decoder(Finished)


def pack(record: Envelope | Finished) -> bytes:
    """Msgpack bytes."""
    return _encoder.encode(record)


def unpack_envelope(data: bytes) -> Envelope:
    """The inverse of `pack`."""
    return _envelopes.decode(data)


def unpack_finished(data: bytes) -> Finished:
    """The inverse of `pack`."""
    return _finished.decode(data)


HANDED_OVER = b"\xc1"
"""First byte of what leaves the operator for the retry queue; no msgpack begins with it."""


def result_line(outcome: Outcome) -> str:
    """One line of `results/*.jsonl`."""
    return _json.encode(outcome).decode()


def dead_letter(finished: Finished) -> str:
    """One line of `dead/*.jsonl`: the record and the input line."""
    body: dict[str, Any] = {
        "record": finished.outcome,
        "line": finished.line.decode("utf-8", errors="backslashreplace"),
    }
    return _json.encode(body).decode()
