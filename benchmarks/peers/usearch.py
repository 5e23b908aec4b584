"""USearch: a graph in memory, 16-bit floats. It can be saved as a whole, so it has no durable mode of its own."""

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
        """Connectivity 16, expansion 100, as the other graphs."""
        from usearch.index import Index

        self._threads = threads
        self._index = Index(ndim=dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100)

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Add."""
        self._index.add(ids, vectors, threads=self._threads)

    def set_effort(self, effort: int) -> None:
        """`expansion_search`."""
        self._index.expansion_search = effort

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search, then add."""
        found = self._index.search(vectors, k, threads=self._threads)
        rows = np.atleast_2d(np.asarray(found.keys)).astype(np.int64)
        scores = 1 - np.atleast_2d(np.asarray(found.distances, np.float32))
        self._index.add(ids, vectors, threads=self._threads)
        return rows, scores

    def close(self) -> None:
        """Free the memory."""
        self._index = None
