"""Features of another embedding version for materials that are stored already: how a new space is filled.

Nothing is decided anew: content IDs, answers and evidence stay as they are, and the new features lie beside the old
ones. Until a space is full, queries of both versions find what their own space holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from materials.errors import UsageError
from materials.records import AssignItem, Feature, Features, Kind
from vector_index.evidence_cache import StoredEvidence
from vector_index.log import Log
from vector_index.validation import MAX_ITEMS, feature_problem, new_spaces

MAX_PAGE = 1000


class Enrichment(msgspec.Struct, frozen=True):
    """New features of the stored version `revision` of a material."""

    material_id: str
    revision: int
    features: Features


class Lacking(msgspec.Struct, frozen=True):
    """A stored material that has one feature and lacks another. `row`: where the next page begins."""

    row: int
    material_id: str
    kind: Kind
    revision: int


class Enriched(msgspec.Struct, frozen=True):
    """What became of a batch: features added, materials that are gone or of another revision, and what to publish."""

    added: int
    passed_over: int
    rows: list[tuple[int, Features]]
    opened: dict[str, tuple[str, int]]


def enrich(log: Log, known: dict[str, tuple[str, int]], items: Sequence[Enrichment]) -> Enriched:
    """Store features, inside a transaction of the log; the caller publishes `rows` after the commit.

    A key that the material has already is left as it is: features of a version do not change.

    Raises:
        UsageError: too many items, or a feature that is unusable; nothing is stored.
    """
    if len(items) > MAX_ITEMS:
        raise UsageError(f"{len(items)} items in one call", f"at most {MAX_ITEMS}")
    opened: dict[str, tuple[str, int]] = {}
    rows: list[tuple[int, Features]] = []
    added = passed_over = 0
    for item in items:
        live = log.live(item.material_id)
        if live is None or live.revision != item.revision:
            passed_over += 1
            continue
        evidence = log.evidence(live.row)
        fresh = {key: feature for key, feature in item.features.items() if key not in evidence.features}
        opened |= _open(log, known | opened, live.kind, item.material_id, fresh)
        if fresh:
            merged = {**evidence.features, **fresh}
            log.set_evidence(live.row, StoredEvidence(merged, evidence.text, evidence.biz, evidence.created_at))
            rows.append((live.row, fresh))
            added += len(fresh)
    return Enriched(added, passed_over, rows, opened)


def lacking(log: Log, has: str, lacks: str, after: int, limit: int) -> list[Lacking]:
    """Live materials with a feature of key `has` and none of key `lacks`, in the order of their rows.

    Args:
        after: the row after which to look.
        limit: at most `MAX_PAGE`.

    Raises:
        UsageError: a limit out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise UsageError(f"{limit} materials in one page", f"1 to {MAX_PAGE}")
    found: list[Lacking] = []
    for row, material_id, kind, revision, evidence in log.live_evidence(after):
        if has in evidence.features and lacks not in evidence.features:
            found.append(Lacking(row, material_id, kind, revision))
            if len(found) == limit:
                break
    return found


def _open(
    log: Log,
    known: dict[str, tuple[str, int]],
    kind: Kind,
    material_id: str,
    features: dict[str, Feature],
) -> dict[str, tuple[str, int]]:
    """The spaces that these features begin.

    Raises:
        UsageError: a feature that does not fit its space.
    """
    item = AssignItem(material_id=material_id, kind=kind, policy="", fingerprint=b"", features=features)
    opened = new_spaces(item, known)
    for key, feature in features.items():
        problem = feature_problem(feature, (known | opened).get(key))
        if problem:
            raise UsageError(f"{key} of {material_id}: {problem}", "a space holds vectors of one schema and length")
    for key, (schema, dim) in opened.items():
        log.add_space(key, schema, dim)
    return opened
