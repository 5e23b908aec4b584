"""What a recall engine is: where the vectors of one space lie, and what it promises.

The index keeps its log and its content IDs whatever the engine; an engine only answers "which stored rows are near?".
Write one against this protocol, check it with `python -m vector_index.recall_engines.conformance`, and name it in an
entry point of the group `sosie.recall_engines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import Retryable
from vector_index.where import Where

Matrix = NDArray[np.float32]
"""Vectors [n, d], unit norm, C order."""
Rows = NDArray[np.int64]
"""Ids >= 0, chosen by the caller."""
Metric = Literal["inner_product"]


class CollectionLost(Retryable):
    """The collection is gone from the engine: only a rebuild from the log brings it back."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine promises; `conformance` holds it to that.

    Args:
        reads_own_writes: a search that begins after `upsert` or `delete` returned sees its effect, from any thread.
        deletes: `delete` works.
        filters: `search` takes a `Where`; without it, one is a `UsageError`.
        durable: what `upsert` or `delete` returned for is there after the engine's own crash.
        metric: how nearness is measured; of unit vectors the inner product is the cosine.
        max_dim: dimensions that it takes at most.
        max_k: hits of one query at most.
        exact_up_to: rows up to which its search is exhaustive; 0 where it never promises that.
    """

    reads_own_writes: bool
    deletes: bool
    filters: bool
    durable: bool
    metric: Metric = "inner_product"
    max_dim: int
    max_k: int
    exact_up_to: int = 0


class Labels(msgspec.Struct, frozen=True):
    """What rows are filtered by. `created_at`: epoch seconds."""

    kind: str = ""
    biz: str = ""
    created_at: float = 0.0


class RecallEngine(Protocol):
    """Vectors of one collection at a time. Calls may come from several threads at once.

    Every method raises `materials.errors.Retryable` where the engine cannot answer now (nothing, a part or all of a
    write may have happened: writes are idempotent and are sent again), and `UsageError` where it never will.
    """

    @property
    def capabilities(self) -> Capabilities:
        """Its promises; the same before and after `open`."""
        ...

    def exists(self, collection: str) -> bool:
        """Whether there is such a collection."""
        ...

    def open(self, collection: str, dim: int) -> None:
        """Use a collection, made where it is missing. All other calls below are about it.

        Raises:
            UsageError: it is there with other dimensions, or `dim` is too large.
        """
        ...

    def drop(self, collection: str) -> None:
        """Delete a collection and its rows; none is no error."""
        ...

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:
        """Store rows; those that are there already are replaced. `rows` are distinct.

        Raises:
            UsageError: vectors of other dimensions.
        """
        ...

    def delete(self, rows: Rows) -> None:
        """Forget rows; unknown ones are ignored."""
        ...

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        """The nearest rows.

        Returns:
            Scores float32 [n, k'] and rows int64 [n, k'], k' <= k, best first, no row twice; -1 where there is no more.

        Raises:
            UsageError: queries of other dimensions, k out of range, a filter that it cannot apply.
        """
        ...

    def count(self) -> int:
        """Stored rows."""
        ...

    def close(self) -> None:
        """Give connections and memory back; what is durable stays."""
        ...


def no_hits(queries: int) -> tuple[Matrix, Rows]:
    """The answer of an empty collection."""
    return np.zeros((queries, 0), np.float32), np.zeros((queries, 0), np.int64)
