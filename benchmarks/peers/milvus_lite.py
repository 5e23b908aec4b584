"""Milvus Lite in process: Milvus's API over segments in Parquet with FAISS indexes. Its log goes to the page cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Ids, Vectors

CHUNK = 5000
COLLECTION = "peer"


class Engine:
    """A `Peer`."""

    durability = "log, no fsync: outlives the process, not the machine"
    efforts = (50, 100, 200, 400, 800)

    def __init__(self) -> None:
        self._client: Any = None
        self._ef = 100

    def open(self, dim: int, folder: Path, threads: int, capacity: int) -> None:  # noqa: ARG002
        """HNSW with M 16, efConstruction 100; strong consistency, so that what was inserted is found."""
        from pymilvus import DataType, MilvusClient

        self._client = MilvusClient(str(folder / "peer.db"))
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=dim)
        index = self._client.prepare_index_params()
        index.add_index("v", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 100})
        self._client.create_collection(COLLECTION, schema=schema, index_params=index, consistency_level="Strong")

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Add, then let it seal and index what it has."""
        for start in range(0, len(ids), CHUNK):
            self._add(ids[start : start + CHUNK], vectors[start : start + CHUNK])
        self._client.flush(COLLECTION)

    def set_effort(self, effort: int) -> None:
        """`ef`."""
        self._ef = effort

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search, then add."""
        answer = self._client.search(
            COLLECTION,
            list(vectors),
            limit=k,
            search_params={"metric_type": "IP", "params": {"ef": self._ef}},
            output_fields=["id"],
            consistency_level="Strong",
        )
        rows = np.full((len(vectors), k), -1, np.int64)
        scores = np.full((len(vectors), k), -np.inf, np.float32)
        for number, hits in enumerate(answer):
            rows[number, : len(hits)] = [hit["id"] for hit in hits]
            scores[number, : len(hits)] = [hit["distance"] for hit in hits]
        self._add(ids, vectors)
        return rows, scores

    def close(self) -> None:
        """End it."""
        self._client.close()

    def _add(self, ids: Ids, vectors: Vectors) -> None:
        data = [{"id": row, "v": vector} for row, vector in zip(ids.tolist(), vectors, strict=True)]
        self._client.insert(COLLECTION, data)
