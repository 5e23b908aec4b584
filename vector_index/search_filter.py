"""Searches that may answer only some materials: by kind, business and time of creation.

What recall found is filtered by what the log says of it. Where too little is left, recall is asked for more, up to
`DEEPEST` rows a space: a filter that lets fewer than about one in a thousand of the near ones through may answer less
than there is.
"""

from __future__ import annotations

from collections.abc import Mapping

from vector_index.evidence_cache import StoredEvidence
from vector_index.log import Log
from vector_index.row_places import RowInfo
from vector_index.where import EVERYTHING, Where

DEEPEST = 2_000
DEEPER = 4


def admitted(where: Where, log: Log, infos: Mapping[int, RowInfo]) -> dict[int, RowInfo]:
    """Of these rows, those that pass."""
    if where == EVERYTHING:
        return dict(infos)
    return {row: info for row, info in infos.items() if _admits(where, info.kind, log.evidence(row))}


def _admits(where: Where, kind: str, evidence: StoredEvidence) -> bool:
    return where.admits(kind, evidence.biz, evidence.created_at)
