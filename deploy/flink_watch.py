"""Watches a session cluster: a JobManager or TaskManager that dies is started again, its orphans are ended first.

`python -m deploy.flink_watch --folder DIR`, started by `deploy.flink.ensure_watch`; SIGTERM ends the watch, not the
cluster. A watch that was killed is started again by the next `sosie cluster up`, and takes over what runs.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from deploy.flink import SessionCluster, end_leftovers, main_process, read_session_cluster, spawn_process
from deploy.keeper import STABLE_SECONDS, backoff_seconds
from deploy.processes import ProcessId, alive

log = structlog.get_logger(__name__)
LOOK_SECONDS = 0.25
# A process that was just started shows its mark only after its exec.
SHOW_SECONDS = 5.0


class Kept:
    """One JVM of a cluster.

    Args:
        find: its process, if it runs.
        clear: ends what it left behind.
        start: starts it.
    """

    def __init__(
        self,
        name: str,
        *,
        find: Callable[[], ProcessId | None],
        clear: Callable[[], int],
        start: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.restarts = name, 0
        self._find, self._clear, self._start, self._clock = find, clear, start, clock
        self._process: ProcessId | None = None
        self._failures = 0
        self._started = clock()
        self._due: float | None = None

    def look(self) -> None:
        """Start it again if it is dead; after repeated deaths, not at once."""
        now = self._clock()
        if self._due is not None:
            if now >= self._due:
                self._due = None
                self._restart(now)
            return
        if alive(self._process):
            return
        self._process = self._find()
        if self._process is not None or (self.restarts and now - self._started < SHOW_SECONDS):
            return
        left = self._clear()
        self._failures = 1 if now - self._started > STABLE_SECONDS else self._failures + 1
        log.warning("flink_process_died", process=self.name, failures=self._failures, orphans=left)
        self._due = now + backoff_seconds(self._failures)

    def _restart(self, now: float) -> None:
        self._started = now
        self.restarts += 1
        self._start()
        log.info("flink_process_started", process=self.name, restarts=self.restarts)


def keep(cluster: SessionCluster) -> list[Kept]:
    """All JVMs of a cluster."""

    def one(name: str) -> Kept:
        return Kept(
            name,
            find=lambda: main_process(cluster.folder, name),
            clear=lambda: end_leftovers(cluster.folder, name),
            start=lambda: spawn_process(cluster, name),
        )

    return [one(name) for name in cluster.processes]


def main(arguments: list[str]) -> int:
    """Watch until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deploy.flink_watch", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args(arguments).folder.absolute().resolve()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    kept = keep(read_session_cluster(folder))
    log.info("flink_watch_started", folder=str(folder))
    while not stop.wait(LOOK_SECONDS):
        for each in kept:
            each.look()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
