"""The sides that are compared, as files that Flink reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec


class ExpectedLine(msgspec.Struct, frozen=True):
    """One record of the source, read again. `file_at`: when its file was last written, epoch seconds."""

    chain: str
    kind: str
    material_id: str
    revision: int
    source: str
    file_at: float


class IndexLine(msgspec.Struct, frozen=True):
    """One decision of the index. `content_id`: as decided; `latest`: no later revision was decided; `live`: it is in
    the index now; `now`: the content ID of a live one after merges and splits."""

    policy: str
    material_id: str
    revision: int
    outcome: str
    content_id: str
    latest: bool
    live: bool
    now: str


class RedisLine(msgspec.Struct, frozen=True):
    """One outcome in Redis. `now`: its content ID after redirects."""

    policy: str
    material_id: str
    revision: int
    outcome: str
    content_id: str
    now: str


Line = ExpectedLine | IndexLine | RedisLine


class ResultFiles(msgspec.Struct, frozen=True):
    """Where the outcomes of one run lie: `folder/PREFIX*.jsonl`."""

    chain: str
    policy: str
    folder: Path
    prefix: str


class Inputs(msgspec.Struct, frozen=True):
    """Everything that a comparison reads. `expected`, `index`, `redis`: files of the lines above, in JSON; `ledger`:
    the folder of the ledger's rows, of which those of `runs` are read."""

    expected: Path
    index: Path
    redis: Path
    ledger: Path
    runs: tuple[str, ...]
    results: tuple[ResultFiles, ...]


def write_lines(path: Path, lines: Iterable[Line]) -> int:
    """Write a side; the number of its lines."""
    encoder, buffer, written = msgspec.json.Encoder(), bytearray(), 0
    with path.open("wb") as file:
        for line in lines:
            encoder.encode_into(line, buffer, len(buffer))
            buffer += b"\n"
            written += 1
            if len(buffer) > 1 << 20:
                file.write(buffer)
                buffer.clear()
        file.write(buffer)
    return written
