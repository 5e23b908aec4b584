"""`STATE/jobs/RUN.json`: what is remembered of a submitted job, so that it can be found, stopped and resumed."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from materials.errors import UsageError

Wish = str
"""What a person last asked of a job: `run`, `stop` or `cancel`."""


class Incarnation(msgspec.Struct, frozen=True, kw_only=True):
    """One stay of a run on a cluster. `began`: epoch seconds; `restored`: the savepoint or checkpoint that it went on
    from, empty for the first."""

    job_id: str
    cluster: str
    began: float
    parallelism: int
    restored: str = ""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run. Its name in files, Redis and on the cluster is `run_id`, and stays over stops and resumes.

    Attributes:
        spec_path: where the spec was read; `spec_json`: what it said then.
        parallelism: a person's own choice, above the spec's; None: the spec's.
        incarnations: oldest first.
        wish: see `Wish`.
        savepoint: that of the last ordered stop.
        starts, ends: of a Kafka source, topic -> partition -> offset: where the run began and, if bounded, ends.
    """

    run_id: str
    name: str
    spec_path: str
    spec_json: str
    incarnations: tuple[Incarnation, ...]
    parallelism: int | None = None
    wish: Wish = "run"
    savepoint: str = ""
    starts: dict[str, dict[int, int]] = {}
    ends: dict[str, dict[int, int]] = {}

    @property
    def last(self) -> Incarnation:
        """The newest stay."""
        return self.incarnations[-1]


def save(state: Path, record: JobRecord) -> None:
    """Write a record in one step: readers see the old one or the new one."""
    folder = state / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.run_id}.json"
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=1))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_all(state: Path) -> list[JobRecord]:
    """All records, the oldest run first."""
    records = [msgspec.json.decode(path.read_bytes(), type=JobRecord) for path in (state / "jobs").glob("*.json")]
    return sorted(records, key=lambda record: record.incarnations[0].began)


def find(state: Path, wanted: str) -> JobRecord:
    """By run id, a Flink job id of any of its stays, or the spec's name, where it means one run only.

    Raises:
        UsageError: there is none, or several of that name.
    """
    records = load_all(state)
    for record in records:
        if wanted == record.run_id or any(wanted == stay.job_id for stay in record.incarnations):
            return record
    named = [record for record in records if record.name == wanted]
    if len(named) > 1:
        named = [record for record in named if record.wish == "run"] or named
    if len(named) > 1:
        choices = ", ".join(record.run_id for record in named)
        raise UsageError(f"{len(named)} runs are named {wanted!r}", f"name one: {choices}")
    if not named:
        raise UsageError(f"no job {wanted!r} is remembered in {state / 'jobs'}", "see `sosie jobs list`")
    return named[0]


def newest_restore_point(state: Path, run_id: str) -> Path | None:
    """The newest complete savepoint or retained checkpoint of a run.

    Both are whole pictures of the job, and the newer one is always the right one: what the sink committed after an
    older one would be written twice.
    """
    found = [
        *(state / "savepoints" / run_id).glob("*/_metadata"),
        *(state / "checkpoints" / run_id).glob("*/chk-*/_metadata"),
    ]
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent if found else None
