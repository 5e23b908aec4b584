"""A sample of outcomes computed again: the features anew from the source, the content ID asked of the index."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np

from deploy.addresses import Addresses
from materials.errors import Rejected, SosieError
from materials.parsing import parse_line
from materials.records import Feature, Material
from pipeline import lookups
from pipeline.feature_reader import FeatureReader
from pipeline.reconciling.source import source_folder_files
from reconcile.comparison.inputs import ResultFiles
from reconcile.ledger.runs import RunRecord
from reconcile.report.records import Sampled
from vector_index.client import IndexClient

_COSINE = 0.999
"""Models differ in their last bits from batch to batch."""


class Answered(msgspec.Struct, frozen=True):
    """An outcome of the results."""

    chain: str
    policy: str
    material_id: str
    revision: int
    outcome: str
    content_id: str | None = None


class _Line(msgspec.Struct):
    material_id: str
    revision: int
    outcome: str
    content_id: str | None = None


def pick(results: Iterable[ResultFiles], n: int, seed: str) -> tuple[Answered, ...]:
    """Up to `n` outcomes with a content ID: those with the least hash of id and seed, so that every one has its chance
    and a second reader picks the same."""
    if not n:
        return ()
    decoder = msgspec.json.Decoder(_Line)

    def ranked() -> Iterator[tuple[bytes, Answered]]:
        for result in results:
            for path in sorted(result.folder.glob("*.jsonl")):
                with path.open("rb") as file:
                    for raw in file:
                        one = decoder.decode(raw)
                        if one.outcome in ("unique", "duplicate"):
                            rank = blake2b(f"{seed}|{one.material_id}".encode(), digest_size=8).digest()
                            yield (
                                rank,
                                Answered(
                                    result.chain,
                                    result.policy,
                                    one.material_id,
                                    one.revision,
                                    one.outcome,
                                    one.content_id,
                                ),
                            )

    return tuple(answered for _, answered in heapq.nsmallest(n, ranked(), key=lambda pair: pair[0]))


def computed_again(sample: Sequence[Answered], runs: Sequence[RunRecord], where: Addresses) -> list[Sampled]:
    """The verdict on each."""
    found = []
    for one in sample:
        run = next(run for run in runs if run.run_id == one.chain)
        try:
            found.append(_check(one, run, where))
        except SosieError as error:
            found.append(Sampled(one.material_id, "unchecked", str(error)))
    return found


def _check(one: Answered, run: RunRecord, where: Addresses) -> Sampled:
    with IndexClient(where.index) as index:
        [(stored, _)] = index.located([one.material_id], one.policy, brief=True)
    if stored is None or stored.revision != one.revision:
        return Sampled(one.material_id, "unchecked", "the index has another revision of it, or none")
    if (stored.outcome, stored.content_id) != (one.outcome, one.content_id or ""):
        return Sampled(
            one.material_id, "different", f"the index decided {stored.outcome} {stored.content_id or 'none'}"
        )
    line = _line_of(one, run)
    if line is None:
        return Sampled(one.material_id, "unchecked", "its line cannot be read again")
    material, base = line
    if material.kind == "post":
        fresh = lookups.evidence_of_text(where, material.text)
    elif "://" in material.media[0]:
        return Sampled(one.material_id, "unchecked", "its medium is not a file")
    else:
        path = base / material.media[0]
        if not path.is_file():
            return Sampled(one.material_id, "unchecked", f"{path} is gone")
        fresh = lookups.evidence_of_file(where, path)
    with FeatureReader(where.redis) as reader:
        kept = reader.get([one.material_id], sorted(fresh))[one.material_id]
    if not kept:
        return Sampled(one.material_id, "unchecked", "Redis no longer has its features")
    differ = [key for key, feature in kept.items() if not alike(feature, fresh[key])]
    if differ:
        return Sampled(one.material_id, "different", f"computed again, {', '.join(differ)} differ")
    return Sampled(one.material_id, "same", f"{', '.join(sorted(kept))} and the content ID")


def alike(one: Feature, other: Feature) -> bool:
    """Whether two features say the same: floats by the cosine of all their values, else bytes for bytes."""
    if (one.schema, one.dtype, one.shape) != (other.schema, other.dtype, other.shape):
        return False
    if not one.dtype.startswith("float"):
        return one.data == other.data
    a, b = (np.asarray(feature.array(), np.float64).ravel() for feature in (one, other))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return bool(np.array_equal(a, b)) if norms == 0.0 else float(a @ b) / norms >= _COSINE


def _line_of(one: Answered, run: RunRecord) -> tuple[Material, Path] | None:
    """The material's line in a files source, and the folder of its media."""
    needle = one.material_id.encode()
    for path in source_folder_files(run):
        with path.open("rb") as file:
            for raw in file:
                if needle not in raw:
                    continue
                try:
                    material = parse_line(raw.rstrip(b"\r\n"), "")
                except Rejected:
                    continue
                if (material.material_id, material.revision) == (one.material_id, one.revision):
                    return material, path.parent
    return None
