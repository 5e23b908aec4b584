"""One row of the ledger. The job writes rows as JSON lines, committed with its checkpoints.

`STATE/ledger/rows/RUN-*.jsonl`: a record's row `entered` is written by the parser, its row `ended` beside its result.
A record that goes through the retry queue enters once, whatever number of attempts it takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

Stage = Literal["entered", "ended"]
WINDOW_S = 60
"""Rows carry windows of a minute; a report adds them up to the length that its reader asks for."""
NO_KIND = "unknown"
"""Kind of a line that could not be read so far."""


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one record.

    `window`: epoch seconds of the start of the minute in which it first entered; `entered_at`, `at`: epoch seconds, of
    its first attempt and of this stage. `run` and `job`: who wrote the row; `chain`: the run whose input this is (a
    repair or a resumed run names the first one). `offset`: -1 where the source does not tell it.
    `outcome`, `content_id`, `attempts`, `cause` (the code before the colon of a reason), `plugins` (names with
    versions whose features are there) and `missing` (those that failed; both joined by commas): of stage `ended` only.
    """

    window: int
    kind: str
    material_id: str
    revision: int
    source: str
    partition: int
    offset: int
    stage: Stage
    outcome: str = ""
    content_id: str = ""
    run: str
    chain: str
    job: str
    policy: str
    entered_at: float
    at: float
    attempts: int = 0
    cause: str = ""
    plugins: str = ""
    missing: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LedgerRow)


def window_of(entered_at: float, length: int = WINDOW_S) -> int:
    """Start of the window, in epoch seconds, that a moment lies in."""
    return math.floor(entered_at / length) * length


def encode(row: LedgerRow) -> str:
    """One line of the ledger, without its line break."""
    return _encoder.encode(row).decode()


def rows_folder(state: Path) -> Path:
    """Where the job of a system writes its rows."""
    return state / "ledger" / "rows"


def read_rows(folder: Path, run_id: str = "") -> Iterator[LedgerRow]:
    """Committed rows, of one run or of all.

    Raises:
        msgspec.DecodeError: a line is none of ours.
    """
    for path in sorted(folder.glob(f"{run_id}*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                yield _decoder.decode(line)
