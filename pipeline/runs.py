"""What a run did: counted from the committed result files, never from what the job says of itself."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from materials.records import OUTCOMES, Outcome
from pipeline.spec import FilesSource

_REFUSED = ("rejected", "dead")
_outcomes = msgspec.json.Decoder(Outcome)


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a run. `lines`: records in the source; `seconds`: from submission to the end of the job.
    `results`: the folder, or `kafka:TOPIC`; `reasons`: `Tally.reasons`."""

    run_id: str
    lines: int
    outcomes: dict[str, int]
    seconds: float
    stack_start_seconds: float
    results: Path | str
    state: Path
    reasons: dict[str, dict[str, int]] = {}

    @property
    def total(self) -> int:
        """Outcomes of all kinds."""
        return sum(self.outcomes.values())

    @property
    def missing(self) -> int:
        """Lines without an outcome: anything but 0 is a fault."""
        return self.lines - self.total

    @property
    def exit_code(self) -> int:
        """0 done (rejected materials are results), 1 when outcomes are missing, 3 when some are dead."""
        if self.missing:
            return 1
        return 3 if self.outcomes.get("dead") else 0


class Tally(msgspec.Struct, frozen=True):
    """Outcomes of a run. `outcomes`: by kind, each kind named; `reasons`: `rejected` and `dead` by the code of their
    reason, the most frequent first."""

    outcomes: dict[str, int]
    reasons: dict[str, dict[str, int]]

    @classmethod
    def of(cls, counted: Mapping[tuple[str, str], int]) -> Tally:
        """From (outcome, code of its reason) -> how many."""
        outcomes: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
        reasons: dict[str, dict[str, int]] = {}
        for (outcome, code), count in sorted(counted.items(), key=lambda each: (-each[1], each[0])):
            if outcome in outcomes:
                outcomes[outcome] += count
            if outcome in _REFUSED:
                reasons.setdefault(outcome, {})[code or "unknown"] = count
        return cls(outcomes, reasons)


def new_run_id(name: str, now: datetime | None = None) -> str:
    """`name-20260101T120000Z-1a2b3c`: prefix of the run's result files."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    return f"{name}-{moment}-{secrets.token_hex(3)}"


def source_files(source: FilesSource) -> list[Path]:
    """The files that the job reads: the one named, or a folder's `*.jsonl` at any depth, hidden ones left out."""
    if source.path.is_file():
        return [source.path]
    found = sorted(path for path in source.path.rglob("*.jsonl") if path.is_file())
    return [p for p in found if not any(part[0] in "._" for part in p.relative_to(source.path).parts)]


def count_lines(source: FilesSource) -> int:
    """Records in the source as it is now: lines that are not blank."""
    total = 0
    for path in source_files(source):
        with path.open("rb") as file:
            total += sum(1 for line in file if line.strip())
    return total


def result_files(sink: Path, run_id: str = "") -> list[Path]:
    """Committed result files, of one run or of all."""
    return sorted((sink / "results").glob(f"{run_id}*.jsonl"))


def read_results(sink: Path, run_id: str = "") -> Iterator[Outcome]:
    """The outcomes in a sink."""
    for path in result_files(sink, run_id):
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield _outcomes.decode(line)


def count_outcomes(sink: Path, run_id: str) -> Tally:
    """Outcomes of a run in its files."""
    return Tally.of(Counter((each.outcome, _code(each)) for each in read_results(sink, run_id)))


def _code(outcome: Outcome) -> str:
    """Only refusals have one: what is said of a `unique` is not to be counted."""
    return (outcome.reason or "").partition(":")[0] if outcome.outcome in _REFUSED else ""
