"""Names of discrepancies, from what each side holds."""

from __future__ import annotations

from typing import Any

import pytest

from reconcile.comparison.findings import PolicyRow, RunRow, of_policies, of_runs

SAME = {"ended_least": "unique|a", "ended_most": "unique|a", "results_least": "unique|a", "results_most": "unique|a"}
WINDOWS = dict.fromkeys(("entered_window_least", "entered_window_most", "ended_window_least", "ended_window_most"), 60)


def row(expected: int = 1, entered: int = 1, ended: int = 1, results: int = 1, **rest: Any) -> RunRow:
    told = {"chain": "c", "material_id": "m", "revision": 0} | SAME | WINDOWS | rest
    return RunRow(expected=expected, entered=entered, ended=ended, results=results, **told)


def names(one: RunRow, in_flight: bool = False) -> list[str]:
    return [found.name for found in of_runs([one], lambda _row: in_flight)]


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (row(ended=0, results=0, entered=0), "lost"),
        (row(ended=0, results=0), "lost"),
        (row(expected=2, entered=2), "lost"),
        (row(results=0), "lost_result"),
        (row(ended=0), "lost_ledger_row"),
        (row(entered=0), "lost_ledger_row"),
        (row(results=2), "doubled"),
        (row(ended=2, results=2), "doubled"),
        (row(entered=2), "doubled"),
        (row(expected=0), "not_in_source"),
        (row(results_least="unique|b", results_most="unique|b"), "swapped_content_id"),
        (row(results_least="dead|", results_most="dead|"), "other_outcome"),
        (row(ended_window_most=120, ended_window_least=120), "wrong_window"),
        (row(wrong=1), "wrong_window"),
        (row(late=1, took=900.0), "late"),
    ],
)
def test_each_fault_has_one_name(one: RunRow, name: str) -> None:
    assert names(one) == [name]


def test_what_may_still_come_is_not_lost() -> None:
    assert names(row(ended=0, results=0), in_flight=True) == []
    assert names(row(results=0), in_flight=True) == ["lost_result"]


def test_two_equal_lines_with_two_answers_are_no_fault() -> None:
    answers = {"ended_least": "rejected|", "ended_most": "unique|a"}
    answers |= {"results_least": "rejected|", "results_most": "unique|a"}
    assert names(row(2, 2, 2, 2, **answers, entered_window_most=120, ended_window_most=120)) == []


def test_a_repaired_record_is_well() -> None:
    assert (
        names(row(entered=1, repaired=1, entered_window_most=600, ended_window_least=600, ended_window_most=600)) == []
    )
    assert names(row(entered=0, repaired=1)) == []
    assert names(row(entered=0, repaired=1, ended=0, results=0)) == ["lost"]


def decision(**told: Any) -> PolicyRow:
    well = {
        "policy": "feed",
        "material_id": "m",
        "revision": 0,
        "gone": False,
        "decided": 1,
        "indexed": 1,
        "in_redis": 1,
        "latest": 1,
        "live": 1,
        "ledger_least": "a",
        "ledger_most": "a",
        "index_decided": "a",
        "index_now": "a",
        "redis_now": "a",
        "ledger_outcome": "unique",
        "index_outcome": "unique",
    }
    return PolicyRow(**(well | told))


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (decision(indexed=0, index_outcome=None, latest=0, live=0), "redis_only"),
        (decision(indexed=0, in_redis=0, latest=0, live=0), "not_in_index"),
        (decision(in_redis=0), "index_only"),
        (decision(decided=0, in_redis=0), "index_only"),
        (decision(redis_now="b"), "swapped_content_id"),
        (decision(ledger_least="b", ledger_most="b"), "swapped_content_id"),
        (decision(ledger_most="b"), "swapped_content_id"),
        (decision(ledger_outcome="duplicate"), "other_outcome"),
        (decision(latest=0), "stale_in_redis"),
        (decision(live=0), "redis_only"),
    ],
)
def test_each_fault_between_index_and_redis_has_one_name(one: PolicyRow, name: str) -> None:
    assert [found.name for found in of_policies([one])] == [name]


def test_a_merged_content_id_is_no_fault() -> None:
    assert of_policies([decision(ledger_least="old", ledger_most="old", index_decided="old")]) == []


def test_an_older_revision_in_redis_is_one_fault_and_not_two() -> None:
    old, new = decision(latest=0), decision(revision=1, in_redis=0, redis_now=None)
    assert [(one.name, one.revision) for one in of_policies([old, new])] == [("stale_in_redis", 0)]


def test_what_was_deleted_everywhere_is_well() -> None:
    gone = decision(gone=True, ledger_outcome="deleted", index_outcome="deleted", live=0, in_redis=1)
    assert of_policies([gone, decision(in_redis=0, latest=0, live=0, redis_now=None)]) == []
