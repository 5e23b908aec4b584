"""FAISS alone, IVF with 8-bit codes as our own spaces hold them: memory only, no IDs, no evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Ids, Vectors


class Engine:
    """A `Peer`."""

    durability = "memory only"
    efforts = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)

    def __init__(self) -> None:
        self._index: Any = None
        self._nprobe = 64

    def open(self, dim: int, folder: Path, threads: int, capacity: int) -> None:  # noqa: ARG002
        """Nothing is made before vectors come: cells need training."""
        import faiss

        faiss.omp_set_num_threads(threads)
        cells = max(1, min(4096, capacity // 39))
        quantizer: Any = faiss.IndexFlatIP(dim)
        self._index = faiss.IndexIVFScalarQuantizer(
            quantizer, dim, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.own_fields = True
        quantizer.this.disown()
        self._index.cp.niter = 6
        self._index.cp.max_points_per_centroid = 39

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Train on the first that come, then add."""
        if not self._index.is_trained:
            self._index.train(vectors)
        self._index.add_with_ids(vectors, ids)

    def set_effort(self, effort: int) -> None:
        """`nprobe`."""
        self._nprobe = effort

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search, then add."""
        import faiss

        scores, rows = self._index.search(vectors, k, params=faiss.SearchParametersIVF(nprobe=self._nprobe))
        self._index.add_with_ids(vectors, ids)
        return np.asarray(rows, np.int64), np.asarray(scores, np.float32)

    def close(self) -> None:
        """Free the memory."""
        self._index = None
