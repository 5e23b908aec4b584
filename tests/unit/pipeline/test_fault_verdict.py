"""The judge of the fault matrix finds each fault that is planted, and none where there is none."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from fault_matrix.faults import NETWORK, PAIRS, killable, matrix
from fault_matrix.memory import growing
from fault_matrix.reconciled import told
from fault_matrix.summary import Summary
from fault_matrix.verdict import Case, Seen, Sent, judge

HEALED = 110.0


class Books:
    """A case without any fault: three kinds, before and after the fault, and one copy."""

    def __init__(self) -> None:
        kinds = ["post", "image", "video"] * 4
        self.sent = {f"m{i}": Sent(kind, 100.0 + 2 * i) for i, kind in enumerate(kinds)}
        self.sent["copy"] = Sent("post", 125.0, "m0")
        self.results = {name: [Seen("unique", f"c-{name}", s.at + 1.0)] for name, s in self.sent.items()}
        self.results["copy"] = [Seen("duplicate", "c-m0", 126.5)]
        self.redis = {name: seen[0].content_id for name, seen in self.results.items()}
        self.index = dict(self.redis)

    def judged(self) -> Case:
        return judge(Case(name="planted"), self.sent, self.results, self.redis, self.index, HEALED)


def test_a_case_without_a_fault_is_sound() -> None:
    case = Books().judged()
    assert case.sound
    assert (case.sent, case.outcomes, case.by_outcome) == (13, 13, {"duplicate": 1, "unique": 12})
    # after the fault: m5 (video) at 110, m6 (post) at 112, m7 (image) at 114, each answered a second later
    assert (case.recovery_s, case.slowest_s, case.queued) == (5.0, 1.5, 0)


def test_records_of_the_retry_queue_are_counted() -> None:
    books = Books()
    books.results["m3"] = [Seen("unique", "c-m3", 120.0, attempts=4)]
    books.results["m4"] = [Seen("unique", "c-m4", 120.0, attempts=3)]
    assert books.judged().queued == 1


@pytest.mark.parametrize(
    "fault", ["lost", "doubled", "dead", "redis", "index", "split", "not in redis", "not in index"]
)
def test_each_planted_fault_is_found_alone(fault: str) -> None:
    books = Books()
    found = {
        "lost": "lost",
        "doubled": "doubled",
        "dead": "dead",
        "redis": "two_ids",
        "index": "two_ids",
        "split": "split",
        "not in redis": "unpublished",
        "not in index": "unpublished",
    }
    if fault == "lost":
        del books.results["m3"]
    elif fault == "doubled":
        books.results["m3"] *= 2
    elif fault == "dead":
        books.results["m3"] = [Seen("dead", "", 120.0)]
        del books.redis["m3"], books.index["m3"]
    elif fault == "split":
        books.results["copy"] = [Seen("unique", "c-other", 126.5)]
        books.redis["copy"] = books.index["copy"] = "c-other"
    elif fault.startswith("not in"):
        del getattr(books, fault.removeprefix("not in "))["m3"]
    else:
        getattr(books, fault)["m3"] = "c-other"
    case = books.judged()
    assert not case.sound
    counts = {name: getattr(case, name) for name in {*found.values()}}
    assert counts == dict.fromkeys(counts, 0) | {found[fault]: 1}
    assert len(case.examples) == 1


def test_a_record_answered_twice_with_two_ids_is_both() -> None:
    books = Books()
    books.results["m3"] = [*books.results["m3"], Seen("unique", "c-other", 121.0)]
    case = books.judged()
    assert (case.doubled, case.two_ids) == (1, 1)


def test_an_at_least_once_sink_may_repeat_itself_but_not_contradict() -> None:
    books = Books()
    books.results["m3"] *= 2
    books.results["m4"] = [*books.results["m4"], Seen("duplicate", "c-m4", 121.0)]
    case = judge(Case(name="planted"), books.sent, books.results, books.redis, books.index, HEALED, exactly_once=False)
    assert (case.repeated, case.doubled, case.two_ids) == (1, 1, 0)


def test_a_kind_that_never_flows_again_is_no_recovery() -> None:
    books = Books()
    for name in ("m7", "m10"):
        del books.results[name]
    assert books.judged().recovery_s == -1.0


@pytest.mark.parametrize("kafka", [False, True])
def test_the_matrix_is_whole_and_the_same_for_a_seed(kafka: bool) -> None:
    faults = matrix(7, kafka)
    assert faults == matrix(7, kafka)
    assert any(fault.server == "kafka" for fault in faults) == kafka
    names = {fault.name for fault in faults}
    assert len(names) == len(faults)
    assert {f"kill-{name}" for name in killable(kafka)} <= names
    assert sum(len(fault.kills) == 2 for fault in faults) == PAIRS
    assert {(f.network, f.server) for f in faults if f.network} >= {(n, s) for n in NETWORK for s in ("redis", "index")}
    pairs = {
        tuple(f.kills for f in matrix(seed) if len(f.kills) == 2) for seed in random.Random(1).sample(range(99), 5)
    }
    assert len(pairs) == 5


def test_memory_that_grows_is_found_and_a_warm_up_is_not() -> None:
    mb = 2**20
    flat = [200 * mb] * 4 + [400 * mb + (i % 3) * mb for i in range(8)]
    leaking = [400 * mb + 20 * mb * i for i in range(12)]
    found = growing({"taskmanagers": leaking, "jobmanager": flat, "index": leaking, "announcer": [mb, 2 * mb] * 6})
    assert set(found) == {"taskmanagers"}
    assert found["taskmanagers"] > 1.1


REPORT = {
    "totals": {
        "completeness": 1.0, "gap": 0, "expected": 500, "terminal": 500, "in_flight": 0, "doubled": 0, "entered": 500,
    },
    "objectives": [{"name": "completeness", "value": "1.0", "met": True}],
    "discrepancies": [],
    "uncounted": {},
}  # fmt: skip


@pytest.mark.parametrize("wrong", ["completeness", "gap", "expected", "objectives"])
def test_a_report_is_sound_only_when_it_is_complete(wrong: str) -> None:
    assert told(REPORT)["sound"] is True
    totals = dict(REPORT["totals"]) | ({wrong: {"completeness": 0.998, "gap": 1, "expected": 0}.get(wrong)})
    missed = [{"name": "late", "value": "3", "met": False}] if wrong == "objectives" else REPORT["objectives"]
    assert told({**REPORT, "totals": totals, "objectives": missed})["sound"] is False


def test_a_source_that_cannot_be_counted_is_not_called_sound() -> None:
    report = {**REPORT, "totals": {**REPORT["totals"], "expected": 0}, "uncounted": {"run-1": "of kind kafka"}}
    assert told(report)["sound"] is False


def test_a_summary_goes_on_where_it_stopped(tmp_path: Path) -> None:
    order = ["none", "kill-redis", "stall-redis"]
    first = Summary.opened(tmp_path, "kafka", 7, resume=False)
    first.take(Case(name="stall-redis", sent=500, outcomes=500), order)
    first.take(Case(name="kill-redis", sent=500, outcomes=499, lost=1), order)
    first.write(tmp_path)
    again = Summary.opened(tmp_path, "kafka", None, resume=True)
    again.take(Case(name="kill-redis", sent=500, outcomes=500), order)
    again.write(tmp_path)
    assert again.seed == 7
    told = json.loads((tmp_path / "summary.json").read_bytes())
    assert (told["sent"], told["lost"], told["sound"]) == (1000, 0, True)
    assert [case["name"] for case in told["cases"]] == ["kill-redis", "stall-redis"]
    assert Summary.opened(tmp_path, "kafka", 8, resume=False).cases == []
    for source, seed in (("files", 7), ("kafka", 8)):
        with pytest.raises(ValueError, match="--seed 7"):
            Summary.opened(tmp_path, source, seed, resume=True)
