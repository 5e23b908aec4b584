"""hnswlib: a graph in memory, float32. It can be written to a file as a whole, so it has no durable mode of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Ids, Vectors


class Engine:
    """A `Peer`."""

    durability = "memory only"
    efforts = (50, 100, 150, 200, 300, 400, 600, 800)

    def __init__(self) -> None:
        self._index: Any = None
        self._threads = 1

    def open(self, dim: int, folder: Path, threads: int, capacity: int) -> None:  # noqa: ARG002
        """M 16, efConstruction 100: denser graphs find more at less ef, and take in less a second."""
        import hnswlib

        self._threads = threads
        self._index = hnswlib.Index("ip", dim)
        self._index.init_index(capacity, ef_construction=100, M=16)
        self._index.set_num_threads(threads)

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Add."""
        self._index.add_items(vectors, ids)

    def set_effort(self, effort: int) -> None:
        """`ef`."""
        self._index.set_ef(effort)

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search, then add."""
        rows, distances = self._index.knn_query(vectors, k)
        self._index.add_items(vectors, ids)
        return rows.astype(np.int64), (1 - distances).astype(np.float32)

    def close(self) -> None:
        """Free the memory."""
        self._index = None
