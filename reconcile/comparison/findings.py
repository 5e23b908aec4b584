"""What a record whose sides differ is called, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

Name = Literal[
    "lost",
    "lost_result",
    "lost_ledger_row",
    "doubled",
    "not_in_source",
    "swapped_content_id",
    "other_outcome",
    "wrong_window",
    "late",
    "redis_only",
    "index_only",
    "not_in_index",
    "stale_in_redis",
]
MEANING: dict[Name, str] = {
    "lost": "it stands in the source and has no outcome",
    "lost_result": "the ledger says that it ended; the results do not hold it",
    "lost_ledger_row": "it has a result, but the ledger lacks a row of it",
    "doubled": "it has more outcomes, or more ledger rows, than lines in the source",
    "not_in_source": "it has an outcome, but the source does not hold it",
    "swapped_content_id": "two sides name different content IDs",
    "other_outcome": "two sides name different outcomes",
    "wrong_window": "its rows do not stand in the window in which it entered",
    "late": "it took longer than the objective allows",
    "redis_only": "Redis shows it, and the index does not hold it",
    "index_only": "the index holds it, and Redis does not show it",
    "not_in_index": "the ledger says that it was decided; the index knows nothing of it",
    "stale_in_redis": "Redis shows an older revision than the index holds, or one that was deleted",
}


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """One record that is not as it should be. `window`: epoch seconds, None where nobody knows it."""

    name: Name
    material_id: str
    revision: int
    detail: str
    kind: str = ""
    source: str = ""
    chain: str = ""
    policy: str = ""
    window: int | None = None


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a chain of runs: how often each side holds it, and what it says. Seconds; answers are
    `outcome|content ID`, least and most by spelling. `file_at`: when the source's file was last written;
    `repaired`: how often it entered again in a repair."""

    chain: str
    material_id: str
    revision: int
    kind: str | None = None
    source: str | None = None
    expected: int
    entered: int
    ended: int
    results: int
    repaired: int = 0
    ended_least: str | None = None
    ended_most: str | None = None
    results_least: str | None = None
    results_most: str | None = None
    entered_window_least: int | None = None
    entered_window_most: int | None = None
    ended_window_least: int | None = None
    ended_window_most: int | None = None
    file_at: float | None = None
    entered_at: float | None = None
    took: float = 0.0
    wrong: int = 0
    late: int = 0

    @property
    def window(self) -> int | None:
        """The one in which it entered, else in which it ended."""
        return self.entered_window_least if self.entered_window_least is not None else self.ended_window_least


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A decision: how often ledger, index and Redis hold it. `gone`: the decision to delete."""

    policy: str
    material_id: str
    revision: int
    gone: bool
    decided: int
    indexed: int
    in_redis: int
    latest: int = 0
    live: int = 0
    ledger_least: str | None = None
    ledger_most: str | None = None
    index_decided: str | None = None
    index_now: str | None = None
    redis_now: str | None = None
    ledger_outcome: str | None = None
    index_outcome: str | None = None
    window: int | None = None


def of_runs(rows: Iterable[RunRow], in_flight: Callable[[RunRow], bool]) -> Iterator[Discrepancy]:
    """Names for rows of runs.

    Args:
        in_flight: whether a record without an outcome may still get one.
    """
    for row in rows:
        for name, detail in _of_run(row, in_flight):
            yield Discrepancy(
                name=name,
                material_id=row.material_id,
                revision=row.revision,
                detail=detail,
                kind=row.kind or "",
                source=row.source or "",
                chain=row.chain,
                window=row.window,
            )


def _of_run(row: RunRow, in_flight: Callable[[RunRow], bool]) -> Iterator[tuple[Name, str]]:
    most = max(row.ended, row.results)
    entered = row.entered + row.repaired
    if row.expected == 0:
        yield "not_in_source", f"{most} outcomes"
        return
    if row.results < row.expected and row.ended < row.expected:
        if not in_flight(row):
            where = "entered, and never ended" if entered >= row.expected else "never entered"
            yield "lost", f"{where}: {row.expected} expected, {row.results} results"
    elif row.results < row.expected:
        yield "lost_result", f"{row.ended} ended, {row.results} results"
    elif row.ended < row.expected or entered < row.expected:
        yield "lost_ledger_row", f"{row.expected} expected, {entered} entered, {row.ended} ended"
    if max(most, row.entered) > row.expected:
        told = f"{row.entered} entered, {row.ended} ended, {row.results} results"
        yield "doubled", f"{row.expected} expected, {told}"
    if row.ended == row.results:
        yield from _answers(row)
    if row.wrong or _windows_differ(row):
        yield "wrong_window", f"entered in {row.entered_window_least}, its rows say {row.ended_window_most}"
    if row.late:
        yield "late", f"it took {row.took:.1f} s"


def _answers(row: RunRow) -> Iterator[tuple[Name, str]]:
    for ledger, result in ((row.ended_least, row.results_least), (row.ended_most, row.results_most)):
        if ledger is not None and result is not None and ledger != result:
            (one, its_id), (other, other_id) = ledger.split("|", 1), result.split("|", 1)
            if one != other:
                yield "other_outcome", f"the ledger says {one}, the result {other}"
            else:
                yield "swapped_content_id", f"the ledger says {its_id or 'none'}, the result {other_id or 'none'}"
            return


def _windows_differ(row: RunRow) -> bool:
    if row.entered != row.ended or not row.entered or row.repaired:  # a repair ends in another window
        return False
    return (row.entered_window_least, row.entered_window_most) != (row.ended_window_least, row.ended_window_most)


def of_policies(rows: Iterable[PolicyRow]) -> list[Discrepancy]:
    """Names for rows of decisions."""
    found = [(row, name, detail) for row in rows for name, detail in _of_policy(row)]
    stale = {(row.policy, row.material_id) for row, name, _ in found if name == "stale_in_redis"}
    return [
        Discrepancy(
            name=name,
            material_id=row.material_id,
            revision=row.revision,
            detail=detail,
            policy=row.policy,
            window=row.window,
        )
        for row, name, detail in found
        if not (name == "index_only" and (row.policy, row.material_id) in stale)  # one fault, one name
    ]


def _of_policy(row: PolicyRow) -> Iterator[tuple[Name, str]]:
    shown = row.in_redis and not row.gone
    if not row.indexed:
        if shown:
            yield "redis_only", f"Redis says {row.redis_now or 'no content ID'}"
        elif row.decided:
            yield "not_in_index", f"the ledger says {row.ledger_outcome} {row.ledger_least}"
        return
    if row.decided and row.ledger_outcome != row.index_outcome:
        yield "other_outcome", f"the ledger says {row.ledger_outcome}, the index {row.index_outcome}"
    elif row.decided and {row.ledger_least, row.ledger_most} != {row.index_decided}:
        other = row.ledger_least if row.ledger_least != row.index_decided else row.ledger_most
        yield "swapped_content_id", f"the ledger says {other or 'none'}, the index {row.index_decided or 'none'}"
    if shown and not row.latest:
        yield "stale_in_redis", "the index has a later decision"
    elif shown and not row.live:
        yield "redis_only", "the index decided it and holds it no longer"
    elif shown and row.redis_now != row.index_now:
        yield "swapped_content_id", f"Redis says {row.redis_now or 'none'}, the index {row.index_now or 'none'}"
    elif not row.in_redis and row.latest and row.live:
        yield "index_only", f"the index says {row.index_now or 'no content ID'}"
