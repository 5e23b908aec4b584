"""What counting costs: microseconds for each observation, best of five runs.

    .venv/bin/python benchmarks/metrics_cost.py [--n 200000]

The last line is JSON: `call_us` (start and end of one attempt), `batch_us`, `run_us`, `cached_us`, `n`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from model_plugins.metrics.recorder import Recorder
from model_plugins.observing import Attempt


def microseconds(work: Callable[[], None], n: int) -> float:
    """One call of `work`, with the loop around it."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(n):
            work()
        best = min(best, time.perf_counter() - started)
    return round(best / n * 1e6, 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200_000)
    n = parser.parse_args().n
    recorder = Recorder()
    attempt = Attempt(model="m", version="1", endpoint="127.0.0.1:8001", rows=4)

    def call() -> None:
        recorder.attempt_started(attempt)
        recorder.attempt_ended(attempt, 0.01, None, "1")

    figures = {
        "call_us": microseconds(call, n),
        "batch_us": microseconds(lambda: recorder.batch_formed("m", "1", 4, 0.001, 3), n),
        "run_us": microseconds(lambda: recorder.plugin_ran("p@1", 0.01, "ok"), n),
        "cached_us": microseconds(lambda: recorder.plugin_cached("p@1", hit=True), n),
        "n": n,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
