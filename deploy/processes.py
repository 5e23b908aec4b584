"""Starting, recognising and ending processes.

A pid alone says little: it may be recycled, or belong to a zombie. A `ProcessId` adds when the process started, and
every process of a stack carries a mark in its environment, so that orphans are found even where nothing was recorded.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

MARK = "SOSIE_PART"
POLL_SECONDS = 0.05
LOG_LIMIT_BYTES = 16 * 1024 * 1024


class ProcessId(msgspec.Struct, frozen=True):
    """A process, told apart from a later one with the same pid. `started`: boot id and clock ticks since boot."""

    pid: int
    started: str


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return None
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    return ProcessId(pid, f"{_boot_id()}-{fields[19].decode()}")


@functools.cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def alive(process: ProcessId | None) -> bool:
    """Whether this very process still runs."""
    return process is not None and identify(process.pid) == process


def spawn(argv: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, appending to `log` (rotated once it is above 16 MB).

    Raises:
        OSError: the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as out:
        return subprocess.Popen(
            list(argv),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def spawn_detached(argv: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> None:
    """Start a process that outlives us and is nobody's child; it is found again by its mark.

    Raises:
        OSError: there is no shell.
    """
    spawn(["/bin/sh", "-c", '"$0" "$@" &', *argv], environment, cwd, log).wait()


def marked(prefix: str) -> list[tuple[ProcessId, str]]:
    """All processes whose mark starts with `prefix`, each with its whole mark."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
        except (psutil.Error, OSError):
            continue
        if mark.startswith(prefix) and (identity := identify(process.pid)):
            found.append((identity, mark))
    return found


def wait_until(condition: Callable[[], bool], seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Poll until `condition` holds or the time is over; tells which."""
    deadline = clock() + seconds
    while not condition():
        if clock() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(processes: Iterable[ProcessId], grace: float) -> None:
    """SIGTERM, then SIGKILL to those that still run after `grace` seconds. Returns when all are gone."""
    waiting = [process for process in processes if _send(process, signal.SIGTERM)]
    if not wait_until(lambda: not any(map(alive, waiting)), grace):
        for process in waiting:
            _send(process, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, waiting)), 10)


def _send(process: ProcessId, number: signal.Signals) -> bool:
    if not alive(process):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
        return True
    return False
