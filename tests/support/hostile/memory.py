"""How much memory a job's worker takes, sampled while it runs."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_EVERY_S = 0.1
_MB = 1024 * 1024
_WORKERS = frozenset({"pipeline.media.child", "pyflink.fn_execution.beam.beam_boot"})


class Sampler:
    """Resident memory of the Python worker and of its decode children; the JVM beside them is not one of them.

    In the mini-cluster the worker is the process that runs the job, and what Flink starts beside it. `largest`: MB of
    the largest single process; `together`: of the worker and all its children at one moment. Shared pages count in
    each, so both err upwards.
    """

    def __init__(self, pid: int) -> None:
        self.largest = 0.0
        self.together = 0.0
        self.samples = 0
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                sizes = [size for process in self._processes() if (size := _resident(process))]
            except psutil.NoSuchProcess:
                return
            self.samples += 1
            self.largest = max([self.largest, *sizes])
            self.together = max(self.together, sum(sizes))

    def _processes(self) -> list[psutil.Process]:
        return [self._root, *(child for child in self._root.children(recursive=True) if _is_python(child))]


def _is_python(process: psutil.Process) -> bool:
    try:
        return not _WORKERS.isdisjoint(process.cmdline())
    except psutil.Error:
        return False


def _resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / _MB
    except psutil.Error:
        return 0.0
