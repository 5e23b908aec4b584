"""One record that waits, and what goes back to the job."""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record in the queue.

    `entry_id`: of this stay in the queue; the next failure of the record makes another entry. `run_id`, `job`,
    `policy`: whose it is. `plugin`: `name@version` whose work failed, "" where it was none's. `error`: the class;
    `message`: its sentence. `attempt`: attempts spent so far, over all. `entered_at`, `failed_at`, `due_at`: epoch
    seconds, of the first attempt, of the last one, and of the next. `record`: what goes back to the job, opaque here.
    `dropped`: not "": a person's reason to end it; it goes back to become `dead`.
    """

    entry_id: str
    run_id: str
    job: str
    policy: str
    material_id: str
    revision: int
    kind: str | None
    biz: str
    plugin: str
    error: str
    message: str
    attempt: int
    entered_at: float
    failed_at: float
    due_at: float
    trace_id: str
    record: bytes
    dropped: str = ""


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file in `STATE/retry/back/RUN/`: what the job's second source reads."""

    entry_id: str
    material_id: str
    record: bytes
    dropped: str = ""


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_entry_line = msgspec.json.Decoder(Entry)
_stored = msgspec.msgpack.Decoder(Entry)
_returned = msgspec.json.Decoder(Returned)


def to_line(entry: Entry) -> bytes:
    """One JSON line, without its end."""
    return _json.encode(entry)


def from_line(line: bytes) -> Entry:
    """The inverse of `to_line`."""
    return _entry_line.decode(line)


def to_stored(entry: Entry) -> bytes:
    """Msgpack, as Redis has it."""
    return _msgpack.encode(entry)


def from_stored(data: bytes) -> Entry:
    """The inverse of `to_stored`."""
    return _stored.decode(data)


def returned_line(entry: Entry) -> bytes:
    """What goes back, one JSON line without its end."""
    return _json.encode(
        Returned(entry_id=entry.entry_id, material_id=entry.material_id, record=entry.record, dropped=entry.dropped)
    )


def from_returned_line(line: bytes) -> Returned:
    """The inverse of `returned_line`."""
    return _returned.decode(line)
