"""The contract of a recall engine, as checks that run against any of them.

`python -m vector_index.recall_engines.conformance milvus:http://127.0.0.1:19530` prints one line a check and exits 1
where one fails. It works in collections of its own, named `sosie_conformance_…`, and drops them. Engines of others are
named by their entry point (group `sosie.recall_engines`).

A promise that an engine does not make is not checked, except that its refusal must be a `UsageError`.
"""

from __future__ import annotations

import argparse
import queue
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import msgspec
import numpy as np

from materials.errors import SosieError, UsageError
from vector_index.recall_engines.choice import maker_of
from vector_index.recall_engines.protocol import Labels, Matrix, RecallEngine, Rows
from vector_index.where import Where

DIM = 24
COUNT = 400
NEAREST = 10
FOUND = 0.98
"""Of the true neighbours of a few hundred rows, what every engine must find."""
PREFIX = "sosie_conformance"

Check = Callable[[RecallEngine], None]


class Failure(AssertionError):
    """A check that an engine does not pass; why."""


class Result(msgspec.Struct, frozen=True):
    """One check's outcome. `problem`: "" where it passed."""

    name: str
    doc: str
    problem: str


def require(condition: bool, problem: str) -> None:
    """Fail the check where the condition does not hold."""
    if not condition:
        raise Failure(problem)


def vectors(count: int, seed: int, dim: int = DIM) -> Matrix:
    """Unit vectors that have little to do with one another, the same every time."""
    drawn = np.random.default_rng(seed).standard_normal((count, dim))
    unit: Matrix = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def found(engine: RecallEngine, queries: Matrix, k: int = NEAREST, where: Where | None = None) -> list[list[int]]:
    """Rows by query, best first."""
    return [[row for row in hits if row >= 0] for hits in engine.search(queries, k, where)[1].tolist()]


def filled(engine: RecallEngine, count: int = COUNT, labels: list[Labels] | None = None) -> tuple[Rows, Matrix]:
    """Store `count` rows with ids that are neither small nor dense."""
    rows = np.arange(count, dtype=np.int64) * 7 + (1 << 40)
    data = vectors(count, seed=1)
    engine.upsert(rows, data, labels)
    return rows, data


def new_name() -> str:
    """A collection of this suite."""
    return f"{PREFIX}_{secrets.token_hex(4)}"


# --- the checks ---


def answers_before_anything_is_stored(engine: RecallEngine) -> None:
    """an empty collection answers no hits, counts 0 and bears a delete"""
    require(found(engine, vectors(3, seed=2)) == [[], [], []], "hits in an empty collection")
    require(engine.count() == 0, f"an empty collection counts {engine.count()}")
    engine.delete(np.array([5], np.int64))


def finds_the_nearest(engine: RecallEngine) -> None:
    """the true nearest rows are found, best first, with their inner products"""
    rows, data = filled(engine)
    queries = vectors(40, seed=3)
    exact = queries @ data.T
    true = rows[np.argsort(-exact, axis=1)[:, :NEAREST]]
    scores, answered = engine.search(queries, NEAREST)
    require(scores.shape == answered.shape, f"scores of shape {scores.shape}, rows of shape {answered.shape}")
    require(scores.dtype == np.float32 and answered.dtype == np.int64, f"{scores.dtype} scores, {answered.dtype} rows")
    hit = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(answered.tolist(), true.tolist(), strict=True)])
    share = 1.0 if engine.capabilities.exact_up_to >= COUNT else FOUND
    require(bool(hit >= share), f"{hit:.3f} of the nearest were found, {share} is asked")
    require(bool((scores[:, :-1] >= scores[:, 1:] - 1e-6).all()), "hits are not ordered by their score")
    place = {row: number for number, row in enumerate(rows.tolist())}
    for query, (one_scores, one_rows) in enumerate(zip(scores, answered, strict=True)):
        expected = [exact[query, place[row]] for row in one_rows.tolist()]
        require(bool(np.allclose(one_scores, expected, atol=5e-3)), "a score is not the inner product")


def reads_its_own_writes(engine: RecallEngine) -> None:
    """what was stored or deleted is seen by the very next search"""
    data = vectors(30, seed=4)
    for number, vector in enumerate(data):
        engine.upsert(np.array([number], np.int64), vector[None])
        require(found(engine, vector[None], 1) == [[number]], f"row {number} is not found right after it was stored")
    for number in range(0, 30, 3):
        engine.delete(np.array([number], np.int64))
        require(number not in found(engine, data[number][None])[0], f"row {number} is found right after its delete")


def reads_the_writes_of_other_threads(engine: RecallEngine) -> None:
    """searches during writes answer soundly, and what another thread has stored is found"""
    data = vectors(240, seed=5)
    problems: list[str] = []
    written: queue.Queue[int] = queue.Queue()

    def write() -> None:
        try:
            for start in range(0, len(data), 8):
                engine.upsert(np.arange(start, start + 8, dtype=np.int64), data[start : start + 8])
                written.put(start)
        except SosieError as error:
            problems.append(f"a write failed: {error}")
        finally:
            written.put(-1)

    writer = threading.Thread(target=write)
    writer.start()
    while (start := written.get()) >= 0:  # the writer goes on meanwhile
        hits = found(engine, data[start : start + 8], 3)
        missed = [row for row, one in zip(range(start, start + 8), hits, strict=True) if row not in one]
        if missed:
            problems.append(f"rows {missed} of another thread are not found")
        if any(len(one) != len(set(one)) for one in hits):
            problems.append("a row came twice in one answer")
    writer.join()
    require(not problems, "; ".join(problems[:3]))


def replaces_a_row(engine: RecallEngine) -> None:
    """a row stored again has its new vector only, and counts once"""
    rows, data = filled(engine, 50)
    new = vectors(1, seed=6)
    engine.upsert(rows[:1], new)
    require(found(engine, new, 1) == [[int(rows[0])]], "the new vector is not found")
    scores, answered = engine.search(data[:1], 50)
    at = dict(zip(answered[0].tolist(), scores[0].tolist(), strict=True)).get(int(rows[0]))
    require(at is None or at < 0.99, "the old vector is found still")
    require(answered[0].tolist().count(int(rows[0])) <= 1, "the row came twice")
    require(engine.count() == 50, f"50 rows and a replaced one count {engine.count()}")


def writes_are_idempotent(engine: RecallEngine) -> None:
    """the same upsert and the same delete, sent again, change nothing"""
    rows, data = filled(engine, 40)
    engine.upsert(rows, data)
    engine.delete(rows[:5])
    engine.delete(rows[:5])
    require(engine.count() == 35, f"35 rows count {engine.count()}")
    require(found(engine, data[5:], 1) == [[row] for row in rows[5:].tolist()], "a row is not its own nearest")


def forgets_rows(engine: RecallEngine) -> None:
    """deleted rows are gone, unknown ones no error, and a deleted row may come back"""
    rows, data = filled(engine, 60)
    engine.delete(np.concatenate([rows[:20], np.array([3, 4], np.int64)]))
    require(engine.count() == 40, f"40 rows count {engine.count()}")
    gone = set(rows[:20].tolist())
    require(not any(gone & set(hits) for hits in found(engine, data, 60)), "a deleted row is found")
    engine.upsert(rows[:1], data[:1])
    require(found(engine, data[:1], 1) == [[int(rows[0])]], "a row that came back is not found")


def answers_fewer_than_k(engine: RecallEngine) -> None:
    """k beyond what is stored answers all of it"""
    rows, data = filled(engine, 5)
    for hits in found(engine, data, 50):
        require(sorted(hits) == sorted(rows.tolist()), f"{len(hits)} of 5 rows were answered")


def holds_large_ids(engine: RecallEngine) -> None:
    """ids up to 2^62 come back as they went in"""
    rows = np.array([0, 1, (1 << 53) + 1, (1 << 62) - 1], np.int64)
    data = vectors(4, seed=7)
    engine.upsert(rows, data)
    require(found(engine, data, 1) == [[row] for row in rows.tolist()], "an id came back changed")


def filters(engine: RecallEngine) -> None:
    """only rows that fit the filter are answered; an engine without filters refuses"""
    kinds = ("image", "video")
    labels = [Labels(kinds[n % 2], f'b"\\{n % 3}', 1000.5 + n) for n in range(60)]
    rows, data = filled(engine, 60, labels)
    cases: dict[str, tuple[Where, Callable[[int], bool]]] = {
        "kind": (Where(kinds=("video",)), lambda n: n % 2 == 1),
        "business": (Where(biz=('b"\\1', 'b"\\2')), lambda n: n % 3 > 0),
        "time": (Where(since=1010.5, until=1020.5), lambda n: 10 <= n < 20),
        "all three": (Where(("image",), ('b"\\0',), since=1030.0), lambda n: n % 6 == 0 and n >= 30),
        "nothing": (Where(kinds=("post",)), lambda n: n < 0),
    }
    for name, (where, fits) in cases.items():
        if not engine.capabilities.filters:
            refuses(partial(engine.search, data[:1], 60, where), f"a filter by {name}")
            continue
        expected = sorted(rows[n] for n in range(60) if fits(n))
        require(sorted(found(engine, data[:1], 60, where)[0]) == expected, f"the filter by {name} answers other rows")
    require(len(found(engine, data[:1], 60, Where())[0]) == 60, "a filter that allows all leaves rows out")


def refuses_wrong_use(engine: RecallEngine) -> None:
    """wrong dimensions and k are `UsageError`s, and store nothing"""
    able = engine.capabilities
    filled(engine, 10)
    row = np.array([99], np.int64)
    refuses(lambda: engine.upsert(row, vectors(1, seed=8, dim=DIM + 1)), "a vector of other dimensions")
    refuses(lambda: engine.search(vectors(1, seed=8, dim=DIM - 1), 3), "a query of other dimensions")
    refuses(lambda: engine.search(vectors(1, seed=8), 0), "k = 0")
    refuses(lambda: engine.search(vectors(1, seed=8), able.max_k + 1), f"k = {able.max_k + 1}")
    refuses(lambda: engine.open(new_name(), able.max_dim + 1), f"{able.max_dim + 1} dimensions")
    require(engine.count() == 10, "a refused row was stored")


def keeps_collections_apart(engine: RecallEngine) -> None:
    """collections are made, found again with their rows, and dropped; other dimensions are refused"""
    first, other = new_name(), new_name()
    try:
        engine.open(first, DIM)
        _, data = filled(engine, 20)
        require(engine.exists(first) and not engine.exists(other), "`exists` is wrong")
        engine.open(other, DIM + 2)
        require(engine.count() == 0, "a new collection has rows")
        engine.upsert(np.array([1], np.int64), vectors(1, seed=9, dim=DIM + 2))
        refuses(lambda: engine.open(first, DIM + 2), "a collection of other dimensions")
        engine.open(first, DIM)
        require(engine.count() == 20 and found(engine, data[:1], 1) != [[]], "a collection lost its rows")
    finally:
        engine.drop(first)
        engine.drop(other)
    require(not engine.exists(other), "a dropped collection exists")
    engine.drop(other)


CHECKS: tuple[Check, ...] = (
    answers_before_anything_is_stored,
    finds_the_nearest,
    reads_its_own_writes,
    reads_the_writes_of_other_threads,
    replaces_a_row,
    writes_are_idempotent,
    forgets_rows,
    answers_fewer_than_k,
    holds_large_ids,
    filters,
    refuses_wrong_use,
    keeps_collections_apart,
)
NEEDS: dict[Check, str] = {
    reads_its_own_writes: "reads_own_writes",
    reads_the_writes_of_other_threads: "reads_own_writes",
    forgets_rows: "deletes",
    writes_are_idempotent: "deletes",
}


def refuses(call: Callable[[], object], what: str) -> None:
    """The call must end in a `UsageError`."""
    try:
        call()
    except UsageError:
        return
    raise Failure(f"{what} is not refused")


@contextmanager
def collection(engine: RecallEngine) -> Iterator[str]:
    """A fresh collection, dropped afterwards."""
    name = new_name()
    engine.open(name, DIM)
    try:
        yield name
    finally:
        with suppress(SosieError):  # the check's own failure is the news
            engine.drop(name)


def run(make: Callable[[], RecallEngine], check: Check) -> None:
    """One check in a collection of its own.

    Raises:
        Failure: the engine does not keep the contract.
        SosieError: it could not be asked.
    """
    engine = make()
    try:
        need = NEEDS.get(check)
        if need is not None and not getattr(engine.capabilities, need):
            return
        with collection(engine):
            check(engine)
    finally:
        engine.close()


def run_all(make: Callable[[], RecallEngine]) -> list[Result]:
    """Every check; problems are told, not raised."""
    results = []
    for check in CHECKS:
        problem = ""
        try:
            run(make, check)
        except (Failure, SosieError) as error:
            problem = str(error) or type(error).__name__
        results.append(Result(check.__name__, (check.__doc__ or "").strip(), problem))
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """0 where every check passed, 1 where one failed, 2 where the engine is not known."""
    parser = argparse.ArgumentParser(
        prog="python -m vector_index.recall_engines.conformance",
        description="Check a recall engine against the contract.",
        epilog="example: python -m vector_index.recall_engines.conformance milvus:http://127.0.0.1:19530",
    )
    parser.add_argument("engine", help="ENGINE[:ADDRESS], as in the index service's --recall SPACE=ENGINE:ADDRESS")
    options = parser.parse_args(argv)
    try:
        make = maker_of(options.engine)
        engine = make()
        able = engine.capabilities
        engine.close()
    except UsageError as error:
        sys.stderr.write(f"{error.message}. {error.remedy}\n")
        return 2
    sys.stdout.write("".join(f"  {name}: {value}\n" for name, value in msgspec.structs.asdict(able).items()))
    results = run_all(make)
    for result in results:
        sys.stdout.write(f"{'failed' if result.problem else 'passed'}  {result.doc}\n")
        if result.problem:
            sys.stdout.write(f"        {result.problem}\n")
    return int(any(result.problem for result in results))


if __name__ == "__main__":
    sys.exit(main())
