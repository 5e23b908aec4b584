"""Which runs wrote into a ledger: what each one read, and where its results lie.

`STATE/ledger/runs/RUN.json` is written before a run starts and again when it has ended; reconciliation finds by it the
source to count again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Paths are absolute; moments are epoch seconds.

    `chain`: the run whose input is worked off: its own id, or that of the run which it resumes or repairs; only the
    run that begins a chain counts its source. `source`, `sink`: the spec's sections, as JSON. `ended_at`: 0 while it
    runs. `watch`: its source has no end. `starts`, `ends`: of a Kafka source, topic -> partition -> offset: where it
    begins, and where it ends if it does; `brokers`: of source and sink, where they are Kafka's. `process`: who drives
    it, as `pid@start`, or its cluster and job, as `URL#JOB`.
    """

    run_id: str
    chain: str
    job: str
    policy: str
    source: dict[str, Any]
    sink: dict[str, Any]
    started_at: float
    ended_at: float = 0.0
    watch: bool = False
    starts: dict[str, dict[int, int]] = {}
    ends: dict[str, dict[int, int]] = {}
    brokers: dict[str, str] = {}
    process: str = ""
    spec_json: str = ""

    @property
    def begins(self) -> bool:
        """Whether it is the first of its chain."""
        return self.run_id == self.chain


def runs_folder(state: Path) -> Path:
    """Where the records lie."""
    return state / "ledger" / "runs"


def write_run(state: Path, record: RunRecord) -> Path:
    """Write a record, whole or not at all."""
    folder = runs_folder(state)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{record.run_id}.{os.getpid()}.tmp"
    unfinished.write_bytes(msgspec.json.encode(record))
    return unfinished.rename(folder / f"{record.run_id}.json")


def end_run(state: Path, run_id: str, at: float) -> None:
    """Note the end of a run; nothing happens for one that was never written."""
    path = runs_folder(state) / f"{run_id}.json"
    if path.is_file():
        write_run(state, msgspec.structs.replace(_read(path), ended_at=at))


def find_run(state: Path, run_id: str) -> RunRecord | None:
    """One run, None for an unknown one."""
    path = runs_folder(state) / f"{run_id}.json"
    return _read(path) if path.is_file() else None


def read_runs(state: Path) -> list[RunRecord]:
    """All runs, oldest first."""
    found = [_read(path) for path in runs_folder(state).glob("*.json")]
    return sorted(found, key=lambda record: (record.started_at, record.run_id))


def _read(path: Path) -> RunRecord:
    return msgspec.json.decode(path.read_bytes(), type=RunRecord)
