"""Scalable Vector Search (Intel): a Vamana graph in memory, float32, that takes inserts. Saved as a whole only."""

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
        """Nothing is made before the first vectors come: it is built over them."""
        self._threads = threads

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Build, then add. Out-degree 32, window 100: about a graph of M 16."""
        import svs

        if self._index is None:
            settings = svs.VamanaBuildParameters(alpha=0.95, graph_max_degree=32, window_size=100)
            self._index = svs.DynamicVamana.build(
                settings, vectors, ids.astype(np.uint64), svs.DistanceType.MIP, num_threads=self._threads
            )
            self._index.search_window_size = 100
        else:
            self._index.add(vectors, ids.astype(np.uint64))

    def set_effort(self, effort: int) -> None:
        """The search window."""
        self._index.search_window_size = effort

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search, then add."""
        rows, scores = self._index.search(vectors, k)
        self._index.add(vectors, ids.astype(np.uint64))
        return rows.astype(np.int64), scores.astype(np.float32)

    def close(self) -> None:
        """Free the memory."""
        self._index = None
