"""FAISS in this process, as the spaces themselves use it: the yardstick for other engines. Memory only."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from materials.errors import UsageError
from vector_index.recall_engines.protocol import Capabilities, CollectionLost, Labels, Matrix, Rows, Where
from vector_index.spaces.dense import FLAT_LIMIT, VectorStore

MAX_DIM = 65_536
MAX_K = 100_000


class FaissEngine:
    """A `RecallEngine`: exhaustive up to `flat_limit` rows, IVF with 8-bit codes beyond."""

    def __init__(self, flat_limit: int = FLAT_LIMIT) -> None:
        self._flat_limit = flat_limit
        self._collections: dict[str, tuple[int, VectorStore]] = {}
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
            exact_up_to=self._flat_limit,
        )

    def exists(self, collection: str) -> bool:
        """Whether it was opened and not dropped."""
        return collection in self._collections

    def open(self, collection: str, dim: int) -> None:
        """Use a collection, made where it is missing."""
        if not 1 <= dim <= MAX_DIM:
            raise UsageError(f"vectors of {dim} dimensions", f"1 to {MAX_DIM}")
        with self._lock:
            there, _ = self._collections.setdefault(collection, (dim, VectorStore(self._flat_limit)))
            if there != dim:
                raise UsageError(f"the collection {collection} has {there} dimensions, not {dim}", "use another")
            self._collection = collection

    def drop(self, collection: str) -> None:
        """Forget a collection."""
        with self._lock:
            self._collections.pop(collection, None)

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:  # noqa: ARG002
        """Store or replace rows: FAISS would keep both, so the old ones go first."""
        with self._lock:
            store = self._store(vectors)
            store.remove(rows)
            store.add(rows, vectors)

    def delete(self, rows: Rows) -> None:
        """Forget rows."""
        with self._lock:
            self._store().remove(rows)

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        """The nearest rows."""
        if where is not None and where != Where():
            raise UsageError("FAISS in this process takes no filter", "filter the hits by what the log says of them")
        if not 1 <= k <= MAX_K:
            raise UsageError(f"k is {k}", f"1 to {MAX_K}")
        with self._lock:
            return self._store(queries).search(queries, k)

    def count(self) -> int:
        """Stored rows."""
        with self._lock:
            return len(self._store())

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._collections.clear()

    def _store(self, vectors: Matrix | None = None) -> VectorStore:
        """The open collection. The lock is held: FAISS bears no add during a search."""
        if self._collection not in self._collections:
            raise CollectionLost(f"the collection {self._collection!r} is gone")
        dim, store = self._collections[self._collection]
        if vectors is not None and (vectors.ndim != 2 or vectors.shape[1] != dim):
            raise UsageError(f"vectors of shape {vectors.shape} in a collection of {dim} dimensions")
        return store
