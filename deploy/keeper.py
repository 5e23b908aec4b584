"""Keeps one part alive: starts it, waits until it is healthy, watches it, starts it again."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from deploy.parts.part import Launch, Part, Site
from deploy.ports import is_free
from deploy.processes import MARK, POLL_SECONDS, ProcessId, alive, end, identify, marked, spawn
from deploy.record import PartRecord

log = structlog.get_logger(__name__)
CHECK_SECONDS = 5.0
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 10.0
STABLE_SECONDS = 30.0


def backoff_seconds(failures: int) -> float:
    """Seconds before the next start after so many failures in a row: 0.1, 0.2, 0.4 … 10."""
    return float(min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(max(failures - 1, 0), 20)))


def mark_of(state: Path, part: str) -> str:
    """What a part's processes carry in their environment."""
    return f"{state}#{part}"


class Keeper(threading.Thread):
    """One part's life, in a thread of its own.

    Args:
        part, site: what, and where.
        record: updated in place; `changed` is called after each update.
        choose_ports: gives the part other ports, as long as it has never been healthy. Raises OSError.
        awaited: keepers whose parts must have been healthy once before ours is started.
    """

    def __init__(
        self,
        *,
        part: Part,
        site: Site,
        record: PartRecord,
        changed: Callable[[], None],
        choose_ports: Callable[[Part], None],
        awaited: tuple[Keeper, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name=f"keep-{part.name}", daemon=True)
        self.part, self.record = part, record
        self.ready_once = threading.Event()
        self.stopping = threading.Event()
        self._site, self._changed, self._choose_ports, self._clock = site, changed, choose_ports, clock
        self._awaited = awaited
        self._child: subprocess.Popen[bytes] | None = None
        self._born = clock()

    @property
    def mark(self) -> str:
        """The mark of this part's processes."""
        return mark_of(self._site.state, self.part.name)

    def run(self) -> None:
        """Until `stopping` is set; the part is gone when this returns."""
        process = self._take_over()
        for keeper in self._awaited:
            while not keeper.ready_once.wait(POLL_SECONDS) and not self.stopping.is_set():
                pass
        while not self.stopping.is_set():
            reason = ""
            if process is None:
                process, reason = self._start()
            started = self._clock()
            if process is not None:
                reason = self._await_healthy(process) or self._watch(process)
            self._clear()
            process = None
            if self.stopping.is_set():
                break
            if self._clock() - started > STABLE_SECONDS and self.ready_once.is_set():
                self.record.failures = 0
            self.record.failures += 1
            self.record.restarts += 1
            self._set("dead", reason)
            log.warning("part_died", part=self.part.name, reason=reason, failures=self.record.failures)
            self.stopping.wait(backoff_seconds(self.record.failures))
        self._clear()
        self._set("stopped", "")

    def _take_over(self) -> ProcessId | None:
        """The part's process of a supervisor that was killed, if it is what we would start."""
        process = self.record.process
        try:
            if (
                process is not None
                and alive(process)
                and self.record.command == fingerprint(self.part.launch(self._site))
            ):
                log.info("part_taken_over", part=self.part.name, pid=process.pid)
                self.record.address = self.part.address(self._site)
                self._set("starting", "")
                return process
        except Exception as error:  # it cannot be started as things are: `_start` says so
            log.warning("part_not_taken_over", part=self.part.name, error=repr(error))
        self._clear()
        return None

    def _start(self) -> tuple[ProcessId | None, str]:
        """Start the part. Returns it, or None and why it could not be started."""
        try:
            if not self.ready_once.is_set():
                self._choose_ports(self.part)
            taken = [port for port in self.record.ports.values() if not is_free(port)]
            if taken:
                return None, f"port {taken[0]} is taken by another program"
            launch = self.part.launch(self._site)
            log_file = Path(self.record.log)
            environment = launch.environment | {MARK: self.mark}
            self._child = spawn(launch.argv, environment, launch.cwd, log_file)
        except Exception as error:  # whatever it is, it is the part's fault, and the others must live on
            log.warning("part_not_started", part=self.part.name, error=repr(error))
            return None, f"could not be started: {error}"
        process = identify(self._child.pid)
        self.record.process, self.record.command = process, fingerprint(launch)
        self._set("starting", "")
        return process, "" if process else "ended at once"

    def _await_healthy(self, process: ProcessId) -> str:
        """Wait for the first good check. Returns why there was none, or nothing."""
        deadline = self._clock() + self.part.start_seconds
        while not self.stopping.is_set():
            reason = self._check()
            if not self._alive(process):
                return self._how_it_ended()
            if not reason:
                self.record.ready_seconds = round(self._clock() - self._born, 2)
                self.ready_once.set()
                self._set("running", "")
                log.info("part_ready", part=self.part.name, pid=process.pid, address=self.record.address)
                return ""
            if self._clock() > deadline:
                return f"not healthy after {self.part.start_seconds:g} s: {reason}"
            if reason != self.record.detail:
                self._set("starting", reason)
            self.stopping.wait(POLL_SECONDS)
        return ""

    def _watch(self, process: ProcessId) -> str:
        """Returns why the part has to be started again."""
        healthy = self._clock()
        next_check = healthy + CHECK_SECONDS
        while not self.stopping.wait(POLL_SECONDS):
            if not self._alive(process):
                return self._how_it_ended()
            if self._clock() < next_check:
                continue
            reason = self._check()
            next_check = self._clock() + CHECK_SECONDS
            if not reason:
                healthy = self._clock()
            self._note_silence(reason, self._clock() - healthy)
            if not reason:
                continue
            if self._clock() - healthy > self.part.patience_seconds and self._alive(process):
                return f"hung: {reason}"
        return ""

    def _check(self) -> str:
        try:
            self.part.check(self._site)
        except Exception as error:  # any failure to answer is the same to us; it is shown in `status`
            return (str(error) or type(error).__name__).splitlines()[0]
        return ""

    def _alive(self, process: ProcessId) -> bool:
        return self._child.poll() is None if self._child is not None else alive(process)

    def _how_it_ended(self) -> str:
        code = self._child.poll() if self._child is not None else None
        return "ended" if code is None else f"ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def _clear(self) -> None:
        """End the part's process, then whatever it has left behind, in its session or out of it."""
        main = self.record.process
        if main is not None and alive(main):
            end([main], self.part.stop_seconds)
        end([process for process, mark in marked(self.mark) if mark == self.mark], 1.0)
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(5)
            self._child = None
        self.record.process = None

    def _note_silence(self, reason: str, seconds: float) -> None:
        """A process that lives and does not answer (stopped, hung) still runs; `status` tells since when."""
        if bool(reason) != bool(self.record.silent_since):
            self.record.silent_since = time.time() - seconds if reason else 0.0
            self.record.detail = reason
            self._changed()

    def _set(self, state: str, detail: str) -> None:
        self.record.state = state  # type: ignore[assignment]
        self.record.silent_since = 0.0
        self.record.detail = detail
        self._changed()


def fingerprint(launch: Launch) -> str:
    """A short hash of the command: a process started by another command is not taken over."""
    return hashlib.blake2b("\0".join(launch.argv).encode(), digest_size=8).hexdigest()
