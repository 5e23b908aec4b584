"""The contract suite is worth something only if a faulty engine fails it: each fault is found by the check named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from materials.errors import UsageError
from vector_index.recall_engines import conformance
from vector_index.recall_engines.conformance import CHECKS, Check, Failure, run, run_all
from vector_index.recall_engines.faiss_engine import FaissEngine
from vector_index.recall_engines.protocol import Capabilities, Labels, Matrix, Rows
from vector_index.where import Where


class ShowsRowsLate(FaissEngine):
    """A write is seen after the next write only."""

    def __init__(self) -> None:
        super().__init__()
        self._late: tuple[Rows, Matrix] | None = None

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:
        late, self._late = self._late, (rows, vectors)
        if late is not None:
            super().upsert(*late)


class KeepsOldVectors(FaissEngine):
    """A row that is there keeps its vector."""

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:
        here = set(self.search(vectors, 1000)[1].ravel().tolist())
        new = [number for number, row in enumerate(rows.tolist()) if row not in here]
        if new:
            super().upsert(rows[new], vectors[new])


class ForgetsNothing(FaissEngine):
    def delete(self, rows: Rows) -> None:
        pass


class CutsIds(FaissEngine):
    """Ids as 53-bit floats."""

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        scores, rows = super().search(queries, k, where)
        return scores, rows.astype(np.float64).astype(np.int64)


class AnswersDistances(FaissEngine):
    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        scores, rows = super().search(queries, k, where)
        return (2 - 2 * scores).astype(np.float32), rows


class MissesSome(FaissEngine):
    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        scores, rows = super().search(queries, min(2 * k, 1000), where)
        return scores[:, ::2][:, :k], rows[:, ::2][:, :k]


class IgnoresFilters(FaissEngine):
    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            reads_own_writes=True, deletes=True, filters=True, durable=False, max_dim=65_536, max_k=100_000
        )

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        return super().search(queries, k)


class TakesAnyK(FaissEngine):
    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        return super().search(queries, max(1, min(k, 1000)), where)


class MixesCollections(FaissEngine):
    """Whatever the name, the same rows."""

    def open(self, collection: str, dim: int) -> None:
        super().open("the one", dim)

    def exists(self, collection: str) -> bool:
        return True


FAULTS: list[tuple[type[FaissEngine], Check]] = [
    (ShowsRowsLate, conformance.reads_its_own_writes),
    (ShowsRowsLate, conformance.reads_the_writes_of_other_threads),
    (KeepsOldVectors, conformance.replaces_a_row),
    (ForgetsNothing, conformance.writes_are_idempotent),
    (ForgetsNothing, conformance.forgets_rows),
    (CutsIds, conformance.holds_large_ids),
    (AnswersDistances, conformance.finds_the_nearest),
    (MissesSome, conformance.finds_the_nearest),
    (IgnoresFilters, conformance.filters),
    (TakesAnyK, conformance.refuses_wrong_use),
    (MixesCollections, conformance.keeps_collections_apart),
]


@pytest.mark.parametrize(("faulty", "check"), FAULTS, ids=lambda one: one.__name__)
def test_a_fault_is_found(faulty: type[FaissEngine], check: Check) -> None:
    with pytest.raises((Failure, UsageError)):
        run(faulty, check)


def test_every_check_tells_its_problem() -> None:
    results = {result.name: result for result in run_all(ForgetsNothing)}
    assert len(results) == len(CHECKS)
    assert results["forgets_rows"].problem
    assert not results["finds_the_nearest"].problem
    assert all(result.doc for result in results.values())


def test_a_promise_that_is_not_made_is_not_checked() -> None:
    class CannotDelete(ForgetsNothing):
        @property
        def capabilities(self) -> Capabilities:
            return Capabilities(
                reads_own_writes=True, deletes=False, filters=False, durable=False, max_dim=65_536, max_k=100_000
            )

    run(CannotDelete, conformance.forgets_rows)
