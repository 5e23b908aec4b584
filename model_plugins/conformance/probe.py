"""Measures a plug-in's calls from within the child that makes them."""

from __future__ import annotations

import gc
import resource
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

from model_plugins.conformance.base import Suite
from model_plugins.conformance.budget_promises import BUDGET, FORGET, MEMORY, OFFLINE, TIME
from model_plugins.conformance.promises import Promise
from model_plugins.conformance.report import Measured, Result

_MIB = 1024 * 1024
_ROUNDS = 12
_LEAK_SECONDS = 2.0
_KEPT_BYTES = 2048
"""A call that keeps more than this, on the average, fills a worker's memory: two gigabytes in a million materials."""
_CONNECTING = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


class Probe:
    """Watches calls: `begins` and `ends` around each, from the moment the plug-in is loaded."""

    def __init__(self, memory_mib: int) -> None:
        self.seconds, self.dearest = 0.0, ("", "")
        self.connection: tuple[str, str, str] | None = None
        self.out_of_memory: tuple[str, str] | None = None
        self._limit = memory_mib
        self._call: tuple[str, str] | None = None
        self._started = 0.0
        _forget_peak()
        self._held = _status("VmRSS")
        space = (_status("VmSize") + memory_mib) * _MIB
        resource.setrlimit(resource.RLIMIT_AS, (int(space), int(space)))
        sys.addaudithook(self._audit)

    def begins(self, what: str, example: str) -> None:
        """A call is made."""
        self._call, self._started = (what, example), time.process_time()

    def ends(self) -> None:
        """It came back."""
        seconds = time.process_time() - self._started
        if self._call is not None and self._call[0] != "examples" and seconds >= self.seconds:
            self.seconds, self.dearest = seconds, self._call
        self._call = None

    def run(self, suite: Suite) -> None:
        """Each example goes its whole way, twice. What it raises is told by the promise that is about it."""
        for _ in range(2):
            for example in suite.examples():
                with suppress(Exception):  # foreign code; see above
                    try:
                        suite.feature_of(example)
                    except MemoryError:
                        self.out_of_memory = suite.doing()
                        return

    def measured(self) -> Measured:
        """The dearest call so far."""
        what, example = self.dearest
        peak = max(_status("VmHWM") - self._held, 0.0)
        return Measured(seconds=round(self.seconds, 4), call=what, example=example, memory_mib=round(peak, 1))

    def results(self, suite: Any, promises: dict[str, Promise]) -> dict[str, Result]:
        """For each of the budget's promises. That all calls came back is plain: we are still here."""
        found = {test: Result.of(promises[test], "pass") for test in BUDGET}
        measured, limit = self.measured(), suite.limits.seconds
        if measured.seconds > limit:
            said = f"{measured.call} took {measured.seconds:.1f} s of processor time; {limit:g} s are allowed"
            found[TIME] = Result.of(promises[TIME], "fail", said, measured.example)
        if self.out_of_memory is not None or measured.memory_mib > self._limit:
            what, example = self.out_of_memory or self.dearest
            said = f"{what} asked for more than the {self._limit} MiB that are allowed beside the loaded plug-in"
            found[MEMORY] = Result.of(promises[MEMORY], "fail", said, example)
            return found
        kept = _kept_by_a_call(suite)
        if kept > _KEPT_BYTES:
            said = f"memory grows by {kept / 1024:.0f} KiB with each material"
            found[FORGET] = Result.of(promises[FORGET], "fail", said)
        if self.connection is not None:
            address, what, example = self.connection
            found[OFFLINE] = Result.of(promises[OFFLINE], "fail", f"{what} connects to {address}", example)
        return found

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._call is not None and self.connection is None and event in _CONNECTING:
            address = arguments[0:2] if event == "socket.getaddrinfo" else arguments[-1]
            self.connection = (str(address), *self._call)


def _kept_by_a_call(suite: Suite) -> float:
    """Bytes that stay allocated after one material, on the average over several rounds of all examples."""

    def one_round() -> int:
        examples = suite.examples()
        for example in examples:
            with suppress(Exception):  # foreign code; the promises about raising tell
                suite.feature_of(example)
        return len(examples)

    tracemalloc.start()
    try:
        started = time.monotonic()
        one_round()
        spent = time.monotonic() - started
        one_round()
        rounds = max(2, min(_ROUNDS, int(_LEAK_SECONDS / max(spent, 1e-3))))
        growth = []
        for _ in range(2):  # what fills a bounded cache in the first half does not grow in the second
            gc.collect()
            before, _peak = tracemalloc.get_traced_memory()
            calls = sum(one_round() for _ in range(rounds))
            gc.collect()
            growth.append((tracemalloc.get_traced_memory()[0] - before) / max(calls, 1))
        return min(growth)
    finally:
        tracemalloc.stop()


def _status(field: str) -> float:
    """MiB, as the kernel says it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    """Let VmHWM count from now on; where the kernel refuses, it counts from the start, which is the stricter way."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
