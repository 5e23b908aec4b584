"""Where a record's way to the queue and back lies on disk, below the state folder.

retry/handed/RUN-*.jsonl      records that operators handed over, committed with their checkpoint
retry/back/RUN/BATCH.jsonl    records that are due, for the run's second source
"""

from __future__ import annotations

from pathlib import Path


def handed(state: Path) -> Path:
    """Hand-over files of all runs."""
    return state / "retry" / "handed"


def back(state: Path, run_id: str) -> Path:
    """What the second source of a run watches."""
    return state / "retry" / "back" / run_id


def handed_files(state: Path, run_id: str = "") -> list[Path]:
    """Committed and not yet taken in, of one run or of all."""
    return sorted(handed(state).glob(f"{run_id}*.jsonl"))


def back_files(state: Path, run_id: str) -> list[Path]:
    """What came back for a run so far."""
    return sorted(back(state, run_id).glob("*.jsonl"))
