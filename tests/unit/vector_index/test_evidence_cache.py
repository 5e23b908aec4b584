"""The cache of decoded evidence."""

from __future__ import annotations

import gc

import msgspec
import numpy as np

from materials.records import Feature
from vector_index.evidence_cache import OVERHEAD, EvidenceCache, StoredEvidence


def evidence(number: int) -> StoredEvidence:
    return StoredEvidence({"image-embedding@1": Feature.of("vector", np.full(4, number, np.float32))}, text="one")


def test_the_least_recently_used_goes_first() -> None:
    cache = EvidenceCache(capacity=2 * evidence(0).size())
    cache.put(1, evidence(1))
    cache.put(2, evidence(2))
    assert cache.get(1) == evidence(1)
    cache.put(3, evidence(3))
    assert cache.get(2) is None
    assert cache.get(1) == evidence(1)
    assert cache.get(3) == evidence(3)


def test_size_counts_arrays_and_text() -> None:
    assert evidence(1).size() == OVERHEAD + 16 + 3


def test_what_is_cached_costs_the_collector_nothing() -> None:
    """A full collection walks every tracked object while all calls wait."""
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(evidence(1)), type=StoredEvidence)
    gc.collect()  # tuples of untracked values are untracked by a collection
    (feature,) = stored.features.values()
    assert not any(map(gc.is_tracked, (stored, stored.features, feature, feature.shape)))
