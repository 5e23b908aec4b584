"""Repair: what is lost goes through the job once more, and nothing else; what only Redis lacks is written anew.

A repair is a run of its own in the chain of the run that lost the records. Its input are copies of the source's files
in which every line that has its outcome is blank: the rest keep file and number, by which bad lines are named. Of a
topic the lost records are copied into a file; one that is named after its offset cannot be repeated from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from materials.errors import Rejected
from materials.parsing import parse_line
from pipeline.origins import NOWHERE
from pipeline.reconciling.source import Uncountable, files_of, identity, root_of
from pipeline.reconciling.topics import is_kafka
from pipeline.spec import FilesSource, JobSpec
from reconcile.comparison.findings import Discrepancy
from reconcile.ledger.runs import RunRecord


class Repaired(msgspec.Struct, frozen=True):
    """`replayed`: records that went through the job again; `left`: those beyond the budget; `refused`: chain -> why
    nothing could be replayed; `redis`: outcomes written anew."""

    replayed: int = 0
    left: int = 0
    refused: dict[str, str] = {}
    redis: int = 0


def lost_by_chain(found: Iterable[Discrepancy], budget: int) -> tuple[dict[str, set[tuple[str, int]]], int]:
    """What to replay, the longest lost first: (material_id, revision) by chain, and how many are left out."""
    lost = sorted((one for one in found if one.name == "lost"), key=lambda one: (one.window or 0, one.material_id))
    chains: dict[str, set[tuple[str, int]]] = {}
    for one in lost[:budget]:
        chains.setdefault(one.chain, set()).add((one.material_id, one.revision))
    return chains, len(lost[budget:])


def replay(
    runs: Sequence[RunRecord],
    lost: dict[str, set[tuple[str, int]]],
    folder: Path,
    run_again: Callable[[JobSpec, str], None],
    now: float,
    topic_lines: Callable[[RunRecord], Iterable[tuple[str, str, bytes]]],
) -> tuple[int, dict[str, str]]:
    """Send lost records through their job again.

    Args:
        folder: an empty folder for the copies.
        run_again: runs a bounded job to its end, in a chain.
        topic_lines: topic, `TOPIC-PARTITION:OFFSET` and value of each record of a run's Kafka source.

    Returns:
        Records that were sent, and the chains of which some cannot be sent again, with the reason.
    """
    sent, refused = 0, {}
    for number, (chain, wanted) in enumerate(sorted(lost.items())):
        run = next(run for run in runs if run.run_id == chain)
        copies = folder / str(number)
        try:
            if is_kafka(run.source):
                copied = copy_lost_records(topic_lines(run), copies, _base(run), wanted)
            else:
                copied = sum(copy_lost(path, root_of(run), copies, wanted) for path in files_of(run, now))
        except Uncountable as error:
            refused[chain] = str(error)
            continue
        if is_kafka(run.source) and wanted:
            refused[chain] = f"{len(wanted)} records have no id but their offset: send them again from their producer"
        if copied:
            run_again(_spec(run, copies), chain)
            sent += copied
    return sent, refused


def copy_lost(path: Path, root: Path, copies: Path, wanted: set[tuple[str, int]]) -> int:
    """Copy a file with only the wanted lines in it, the first of each; how many there were."""
    name = path.relative_to(root)
    kept, found = [], 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.rstrip(b"\r\n")
            key = identity(line, f"{name.as_posix()}:{number}")[1:] if line.strip() else None
            if key in wanted:
                wanted.discard(key)
                kept.append(_rooted(line, path.parent))
                found += 1
            else:
                kept.append(b"")
    if found:
        target = copies / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"\n".join(kept) + b"\n")
    return found


def copy_lost_records(
    lines: Iterable[tuple[str, str, bytes]], copies: Path, base: Path, wanted: set[tuple[str, int]]
) -> int:
    """Copy the wanted records of topics, the first of each, into a file for each topic; how many there were.

    What is left in `wanted` was not found, or is named after its place.
    """
    kept: dict[str, list[bytes]] = {}
    for topic, where, line in lines:
        key = identity(line, where)[1:]
        if key in wanted and key[0] != f"@{where}":
            wanted.discard(key)
            kept.setdefault(topic, []).append(_rooted(line.replace(b"\n", b" "), base))
    for topic, found in kept.items():
        copies.mkdir(parents=True, exist_ok=True)
        (copies / f"{topic}.jsonl").write_bytes(b"\n".join(found) + b"\n")
    return sum(map(len, kept.values()))


def _base(run: RunRecord) -> Path:
    """The folder of a run's relative media paths."""
    return Path(str(run.source.get("base") or NOWHERE)) if is_kafka(run.source) else root_of(run)


def _rooted(line: bytes, base: Path) -> bytes:
    """The line with its relative media paths made absolute; a line that is refused stays as it is."""
    try:
        material = parse_line(line, "")
    except Rejected:
        return line
    if not material.media:
        return line
    fields = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    fields["media"] = [uri if "://" in uri else str(base / uri) for uri in material.media]
    return json.dumps(fields, ensure_ascii=False).encode()


def _spec(run: RunRecord, copies: Path) -> JobSpec:
    spec = JobSpec.model_validate_json(run.spec_json)
    media = spec.media.model_copy(update={"roots": (*spec.media.roots, _base(run))})
    return spec.model_copy(update={"source": FilesSource(path=copies), "media": media, "mode": "batch"})
