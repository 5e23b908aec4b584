"""FAISS in this process, by the very spaces that the index uses without an engine: the yardstick for others."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from materials.errors import UsageError
from materials.records import Feature
from vector_index.recall_engines.protocol import Capabilities, CollectionLost, Labels, Matrix, Rows
from vector_index.spaces.dense import DenseSpace
from vector_index.where import Where

MAX_DIM = 65_536
MAX_K = 100_000
EXACT_UP_TO = 10_000
"""The spaces are exact at least so far."""


class FaissEngine:
    """A `RecallEngine`. Memory only: the index's snapshots and log make its spaces durable."""

    def __init__(self) -> None:
        self._collections: dict[str, tuple[int, DenseSpace]] = {}
        self._collection = ""
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """Neither filters nor durable: the index filters by its own log, which is durable."""
        return Capabilities(
            reads_own_writes=True,
            deletes=True,
            filters=False,
            durable=False,
            max_dim=MAX_DIM,
            max_k=MAX_K,
            exact_up_to=EXACT_UP_TO,
        )

    def exists(self, collection: str) -> bool:
        """Whether it was opened and not dropped."""
        return collection in self._collections

    def open(self, collection: str, dim: int) -> None:
        """Use a collection, made where it is missing."""
        if not 1 <= dim <= MAX_DIM:
            raise UsageError(f"vectors of {dim} dimensions", f"1 to {MAX_DIM}")
        with self._lock:
            if collection not in self._collections:
                self._collections[collection] = (dim, DenseSpace())
            there, _ = self._collections[collection]
            if there != dim:
                raise UsageError(f"the collection {collection} has {there} dimensions, not {dim}", "use another")
            self._collection = collection

    def drop(self, collection: str) -> None:
        """Forget a collection."""
        with self._lock:
            gone = self._collections.pop(collection, None)
        if gone is not None:
            gone[1].close()

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:  # noqa: ARG002
        """Store or replace rows."""
        with self._lock:
            self._space(vectors).add(rows.tolist(), _features(vectors))

    def delete(self, rows: Rows) -> None:
        """Forget rows."""
        with self._lock:
            self._space().remove(rows.tolist())

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        """The nearest rows."""
        if where is not None and where != Where():
            raise UsageError("FAISS in this process takes no filter", "filter the hits by what the log says of them")
        if not 1 <= k <= MAX_K:
            raise UsageError(f"k is {k}", f"1 to {MAX_K}")
        with self._lock:
            found = self._space(queries).search(_features(queries), k)
        width = max((len(hits) for hits in found), default=0)
        scores = np.full((len(found), width), -np.inf, np.float32)
        rows = np.full((len(found), width), -1, np.int64)
        for number, hits in enumerate(found):
            rows[number, : len(hits)] = [row for row, _ in hits]
            scores[number, : len(hits)] = [score for _, score in hits]
        return scores, rows

    def count(self) -> int:
        """Stored rows."""
        with self._lock:
            return len(self._space())

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            spaces = [space for _, space in self._collections.values()]
            self._collections.clear()
        for space in spaces:
            space.close()

    def _space(self, vectors: Matrix | None = None) -> DenseSpace:
        """The open collection. The lock is held: a space takes one writer."""
        if self._collection not in self._collections:
            raise CollectionLost(f"the collection {self._collection!r} is gone")
        dim, space = self._collections[self._collection]
        if vectors is not None and (vectors.ndim != 2 or vectors.shape[1] != dim):
            raise UsageError(f"vectors of shape {vectors.shape} in a collection of {dim} dimensions")
        return space


def _features(vectors: Matrix) -> list[Feature]:
    return [Feature.of("vector", vector) for vector in vectors]
