"""Materials that are past their time: read from the log, deleted through the service like any other delete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from vector_index.evidence_cache import StoredEvidence
from vector_index.verification import read_only
from vector_index.where import Where

PAGE = 500


class Expired(msgspec.Struct, frozen=True):
    """A stored material, and a policy under which it was decided."""

    material_id: str
    policy: str


def expired(folder: Path, before: float, biz: tuple[str, ...] = ()) -> Iterator[list[Expired]]:
    """Pages of live materials, oldest first, created before `before` (epoch seconds), posts with their parts in one.

    A material that came without a time counts by the time of the transaction that stored it.

    Raises:
        UsageError: the folder holds no index.
    """
    decoder = msgspec.msgpack.Decoder(StoredEvidence)
    where = Where(biz=biz, until=before)
    query = (
        "SELECT m.material_id, m.kind, m.evidence, c.at,"
        " (SELECT min(d.policy) FROM decisions d WHERE d.material_id=m.material_id)"
        " FROM materials m LEFT JOIN commits c ON c.sequence=m.sequence"
        " WHERE m.live AND m.parent IS NULL ORDER BY m.row"
    )
    with closing(read_only(folder / "log.sqlite")) as log:
        cursor = log.execute(query)
        while page := cursor.fetchmany(PAGE):
            found = []
            for material_id, kind, blob, stored_at, policy in page:
                evidence = decoder.decode(blob)
                created = stored_at if evidence.created_at is None else evidence.created_at
                if where.admits(kind, evidence.biz, created):
                    found.append(Expired(material_id, policy))
            if found:
                yield found
