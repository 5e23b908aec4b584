"""A recall engine in this process that keeps its rows over a restart, and can be away."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from materials.errors import Retryable
from vector_index.recall_engines.faiss_engine import FaissEngine
from vector_index.recall_engines.protocol import Capabilities, Labels, Matrix, Rows
from vector_index.where import Where


class GatedEngine(FaissEngine):
    """While `away`, every call fails. `close` keeps the rows: the object outlives the space that uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, durable=True)

    def _gate(self) -> None:
        if self.away:
            raise Retryable("the engine is away")

    def exists(self, collection: str) -> bool:
        self._gate()
        return super().exists(collection)

    def open(self, collection: str, dim: int) -> None:
        self._gate()
        super().open(collection, dim)

    def drop(self, collection: str) -> None:
        self._gate()
        super().drop(collection)

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:
        self._gate()
        super().upsert(rows, vectors, labels)

    def delete(self, rows: Rows) -> None:
        self._gate()
        super().delete(rows)

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        self._gate()
        return super().search(queries, k, where)

    def count(self) -> int:
        self._gate()
        return super().count()

    def close(self) -> None:
        pass

    def collections(self) -> list[str]:
        """What there is."""
        return sorted(self._collections)
