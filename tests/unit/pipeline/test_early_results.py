"""Results leave a worker before their bundle ends: PyFlink's streams are found, and not told to flush without end."""

from __future__ import annotations

import subprocess
import sys

from pipeline.flink.early_results import AT_ONCE, FLUSHES_PER_S, EarlyResults

OF_PYFLINK = """
from pyflink.fn_execution.beam.beam_stream_fast import BeamTimeBasedOutputStream
from pipeline.flink.early_results import flushers
stream = BeamTimeBasedOutputStream()
[flush] = flushers()
flush()
print(flush.__self__ is stream)
"""


def test_the_output_streams_of_pyflink_are_found() -> None:
    found = subprocess.run([sys.executable, "-c", OF_PYFLINK], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == "True\n", found.stderr


def test_a_few_results_flush_each_and_many_flush_together() -> None:
    now = [0.0]
    told: list[float] = []
    results = EarlyResults(lambda: now[0], lambda: [lambda: told.append(now[0])])
    for _ in range(int(AT_ONCE)):
        results.leave()
    assert len(told) == AT_ONCE
    results.leave()
    assert len(told) == AT_ONCE, "no more at the same moment"
    for _ in range(1000):
        now[0] += 0.001
        results.leave()
    assert abs(len(told) - AT_ONCE - FLUSHES_PER_S) <= 1
    now[0] += 60.0
    results.leave()
    assert told[-1] == now[0]
