"""The window's arithmetic against a list of all events, quantiles against sorted values, and the recorder's limits."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_plugins.metrics.histograms import SECONDS, quantile
from model_plugins.metrics.recorder import OTHER, RESULTS, Recorder
from model_plugins.metrics.rows import CallRow, PluginRow, Recent, merge, rows_of
from model_plugins.metrics.window import RollingWindow
from model_plugins.observing import Attempt

KEYS = ("a", "b", "c")
steps = st.lists(
    st.tuples(st.floats(0, 40, allow_nan=False), st.sampled_from(KEYS), st.integers(0, 3), st.booleans()), max_size=60
)


@given(steps, st.sampled_from([1.0, 2.5, 7.0]), st.integers(1, 6), st.floats(0, 60))
def test_lately_is_what_a_list_of_all_events_says(
    events: list[tuple[float, str, int, bool]], width: float, slots: int, rest: float
) -> None:
    """Events with amounts, any time apart; a counter may be given up in between, with all that it counted."""
    window: RollingWindow[str] = RollingWindow(width, slots)
    counters: dict[str, list[float]] = {}
    seen: list[tuple[float, str, int]] = []
    now = 0.0
    for pause, key, amount, give_up in events:
        now += pause
        if now >= window.next_slot:
            window.roll(now, counters)
        if give_up and key in counters:
            del counters[key]
            window.forget(key)
            seen = [each for each in seen if each[1] != key]
        counters.setdefault(key, [0, 0])
        counters[key][0] += 1
        counters[key][1] += amount
        seen.append((now, key, amount))
    now += rest
    first = int(now // width) - slots + 1
    naive: dict[str, tuple[float, float]] = {}
    for when, key, amount in seen:
        if int(when // width) >= first:
            count, total = naive.get(key, (0, 0))
            naive[key] = (count + 1, total + amount)
    assert window.lately(now, counters) == naive
    window.roll(now, counters)
    assert window.lately(now, counters) == naive, "reading at a slot's start changes nothing"


@given(st.lists(st.floats(0.0001, 29.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    counts = [0] * (len(SECONDS) + 1)
    for value in values:
        counts[next((i for i, bound in enumerate(SECONDS) if value <= bound), len(SECONDS))] += 1
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    found = quantile(counts, SECONDS, share)
    assert found is not None
    upper = next(bound for bound in SECONDS if exact <= bound)
    lower = max((bound for bound in SECONDS if bound < exact), default=0.0)
    assert lower <= found <= upper


def test_quantiles_at_the_edges() -> None:
    assert quantile([0] * 16, SECONDS, 0.5) is None
    assert quantile([0] * 15 + [4], SECONDS, 0.5) == SECONDS[-1]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def call(recorder: Recorder, endpoint: str = "h:1", seconds: float = 0.01, failure: Any = None, rows: int = 4) -> None:
    attempt = Attempt(model="m", version="", endpoint=endpoint, rows=rows)
    recorder.attempt_started(attempt)
    recorder.attempt_ended(attempt, seconds, failure, "" if failure else "3")


def test_a_workers_rows() -> None:
    clock = Clock()
    recorder = Recorder(clock=clock)
    for failure in (None, None, None, "timeout", "cancelled"):
        call(recorder, failure=failure)
    recorder.attempt_started(Attempt(model="m", version="", endpoint="h:1", rows=2))
    recorder.retried("m", "h:1", "timeout")
    recorder.hedged("m", "h:1")
    recorder.ejected("m", "h:1", 5.0, "success_rate")
    recorder.batch_formed("m", "", 4, 0.002, 7)
    recorder.plugin_ran("p@2", 0.02, "ok")
    recorder.plugin_ran("p@2", 0.02, "rejected")
    recorder.plugin_ran("p@2", 0.02, "failed")
    recorder.plugin_cached("p@2", hit=True)
    recorder.plugin_cached("p@2", hit=False)
    recent = rows_of(recorder.read(), recorder.window_seconds, lambda model: {"m": "p"}[model])
    failed, answered = recent.calls
    assert (failed.version, failed.calls, failed.cancelled, failed.failures) == ("", 2, 1, {"timeout": 1})
    assert failed.success_rate == 0.0
    assert (answered.version, answered.calls, answered.ok, answered.rows, answered.plugin) == ("3", 3, 3, 12, "p")
    assert (answered.in_flight, answered.queued, answered.retries, answered.hedges, answered.ejections) == (
        1,
        7,
        1,
        1,
        1,
    )
    assert answered.ejected
    assert answered.mean_batch == 4.0
    assert 0.005 < (answered.latency(0.5) or 0) <= 0.01
    [run] = recent.plugins
    assert (run.plugin, run.version, run.runs, run.cache_hits, run.cache_misses) == ("p", "2", 3, 1, 1)
    assert run.success_rate == pytest.approx(2 / 3)

    recorder.readmitted("m", "h:1")
    clock.now += 301
    assert rows_of(recorder.read(), 300, str).calls == [], "after five minutes nothing of it is left"
    assert recorder.read().totals, "but the counters stand"


def test_series_are_bounded_and_idle_ones_make_room() -> None:
    clock = Clock()
    recorder = Recorder(limit=10, idle=600.0, clock=clock)
    for number in range(50):
        call(recorder, f"h:{number}")
    totals = recorder.read().totals
    assert len(totals) == 11
    assert sum(sum(values[: len(RESULTS)]) for values in totals.values()) == 50, "each is counted somewhere"
    [other] = [values for key, values in totals.items() if key.endpoint == OTHER]
    assert sum(other[: len(RESULTS)]) == 40
    for _ in range(6):
        clock.now += 400
        call(recorder, "new:1")
    assert sorted(key.endpoint for key in recorder.read().totals) == ["new:1"]
    assert [row.endpoint for row in rows_of(recorder.read(), 300, str).calls] == ["new:1"]


def test_threads_lose_no_counts() -> None:
    recorder = Recorder()
    threads = [threading.Thread(target=lambda: [call(recorder) for _ in range(2000)]) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    readings = recorder.read()
    [values] = readings.totals.values()
    assert values[0] == 8000
    assert readings.in_flight == {}


@given(st.lists(st.lists(st.tuples(st.sampled_from("xyz"), st.floats(0, 40)), max_size=10), max_size=4))
def test_merged_workers_are_as_one(workers: list[list[tuple[str, float]]]) -> None:
    """What several recorders saw, merged, is what one would have seen."""
    one = Recorder(clock=Clock())
    parts = []
    for calls in workers:
        recorder = Recorder(clock=Clock())
        for endpoint, seconds in calls:
            call(recorder, endpoint, seconds)
            call(one, endpoint, seconds)
            recorder.plugin_ran("p@1", seconds, "ok")
            one.plugin_ran("p@1", seconds, "ok")
        parts.append(rows_of(recorder.read(), 300.0, str))
    merged, whole = merge(parts), rows_of(one.read(), 300.0, str)
    for rows in (merged.calls, whole.calls, merged.plugins, whole.plugins):
        for row in rows:
            row.seconds = round(row.seconds, 6)  # sums of floats in another order
    assert (merged.calls, merged.plugins) == (whole.calls, whole.plugins)


def test_merging_unites_names_and_truths() -> None:
    rows = [
        CallRow(plugin=name, model="m", version="", endpoint="e", ejected=out, failures={name: 1}, buckets=buckets)
        for name, out, buckets in (("b,a", False, [1, 0]), ("c", True, []), ("a", False, [0, 2]))
    ]
    merged = merge([Recent(window_s=300, calls=[row], plugins=[PluginRow(plugin="p", version="1")]) for row in rows])
    [row] = merged.calls
    assert (row.plugin, row.ejected, row.buckets) == ("a,b,c", True, [1, 2])
    assert row.failures == dict(Counter({"b,a": 1, "c": 1, "a": 1}))
    assert len(merged.plugins) == 1
