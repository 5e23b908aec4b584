"""Decoded evidence of the rows that were compared last, bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from materials.records import Features

CAPACITY = 32 << 20
OVERHEAD = 512
"""Bytes counted for an entry beside its arrays and text."""


class StoredEvidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the log keeps of a material for fine ranking, as msgpack.

    `gc=False` here and in what it holds: there are no cycles, and tens of thousands of them in the cache made each full
    collection of garbage a pause of 100 ms.
    """

    features: Features
    text: str = ""
    biz: str = ""
    created_at: float | None = None

    def size(self) -> int:
        """Bytes, about."""
        return OVERHEAD + len(self.text) + sum(len(feature.data) for feature in self.features.values())


class EvidenceCache:
    """Least recently used goes first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._bytes = 0
        self._entries: OrderedDict[int, StoredEvidence] = OrderedDict()

    def get(self, row: int) -> StoredEvidence | None:
        """The entry, which counts as used."""
        entry = self._entries.get(row)
        if entry is not None:
            self._entries.move_to_end(row)
        return entry

    def put(self, row: int, evidence: StoredEvidence) -> None:
        """Keep an entry and drop the oldest beyond the capacity."""
        self.drop(row)
        self._entries[row] = evidence
        self._bytes += evidence.size()
        while self._bytes > self._capacity:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.size()

    def drop(self, row: int) -> None:
        """Forget an entry, if it is there."""
        entry = self._entries.pop(row, None)
        if entry is not None:
            self._bytes -= entry.size()

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._bytes = 0
