"""Qdrant in process (`qdrant-edge`), float32. Every update goes through its write-ahead log before it is answered.

New points lie in a plain segment that search reads as a whole, until `optimize` builds a graph over it; that is called
after the load and then every `OPTIMIZE_EVERY` points, as its own background optimiser would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Ids, Vectors

CHUNK = 2000
OPTIMIZE_EVERY = 20_000
VECTOR = "v"


class Engine:
    """A `Peer`."""

    durability = "write-ahead log, no fsync of every batch"
    efforts = (50, 100, 150, 200, 300, 400, 600, 800)

    def __init__(self) -> None:
        self._edge: Any = None
        self._shard: Any = None
        self._params: Any = None
        self._since = 0

    def open(self, dim: int, folder: Path, threads: int, capacity: int) -> None:  # noqa: ARG002
        """M 16, ef_construct 100, as the other graphs."""
        import qdrant_edge

        self._edge = qdrant_edge
        graph = qdrant_edge.HnswIndexConfig(
            m=16, ef_construct=100, full_scan_threshold=1000, max_indexing_threads=threads
        )
        vectors = {VECTOR: qdrant_edge.EdgeVectorParams(size=dim, distance=qdrant_edge.Distance.Dot, hnsw_config=graph)}
        config = qdrant_edge.EdgeConfig(
            vectors=vectors, hnsw_config=graph, max_search_threads=threads, wal_enabled=True
        )
        self._shard = qdrant_edge.EdgeShard.create(str(folder / "shard"), config)
        self.set_effort(100)

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Add."""
        for start in range(0, len(ids), CHUNK):
            self._add(ids[start : start + CHUNK], vectors[start : start + CHUNK])

    def set_effort(self, effort: int) -> None:
        """`hnsw_ef`. The harness calls this between the load and the first search."""
        self._params = self._edge.SearchParams(hnsw_ef=effort)
        self._optimize()

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search, then add."""
        rows = np.full((len(vectors), k), -1, np.int64)
        scores = np.full((len(vectors), k), -np.inf, np.float32)
        queries = [
            self._edge.QueryRequest(query=self._edge.Query.Nearest(vector, using=VECTOR), limit=k, params=self._params)
            for vector in vectors.tolist()
        ]
        for number, found in enumerate(self._shard.query_batch(self._edge.QueryBatchRequest(queries))):
            rows[number, : len(found)] = [point.id for point in found]
            scores[number, : len(found)] = [point.score for point in found]
        self._add(ids, vectors)
        if self._since >= OPTIMIZE_EVERY:
            self._optimize()
        return rows, scores

    def close(self) -> None:
        """Close the shard."""
        self._shard.close()

    def _add(self, ids: Ids, vectors: Vectors) -> None:
        points = [
            self._edge.Point(row, {VECTOR: vector}, {})
            for row, vector in zip(ids.tolist(), vectors.tolist(), strict=True)
        ]
        self._shard.update(self._edge.UpdateOperation.upsert_points(points))
        self._since += len(ids)

    def _optimize(self) -> None:
        if self._since:
            self._shard.optimize()
            self._since = 0
