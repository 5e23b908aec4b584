"""Runs a check in a child that may loop, exit, crash or eat memory, and says which call did it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO

import msgspec
import psutil

from model_plugins.conformance.budget_promises import BUDGET, COME_BACK, MEMORY, TIME
from model_plugins.conformance.child import Job, Step
from model_plugins.conformance.limits import Limits
from model_plugins.conformance.report import Measured, Report, Result
from model_plugins.conformance.stand_in import Outputs
from model_plugins.conformance.suite import promises
from model_plugins.conformance.targets import Target

_POLL = 0.02
_MIB = 1024 * 1024
_QUIET = 120.0
"""Seconds without a step while no call of the plug-in is under way: the suite itself, on a slow machine."""
_AT_IMPORT = "let the module only define things when it is imported; load what is slow at the first call"
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; from model_plugins.conformance.child import main; main(int(sys.argv[1]))"
)
_steps = msgspec.json.Decoder(Step)


def supervise(
    target: Target,
    limits: Limits | None = None,
    *,
    outputs: Outputs | None = None,
    only: Sequence[str] | None = None,
) -> Report:
    """Judge a plug-in's promises in child processes; a call beyond its limits is killed, and the rest is judged in a
    new child.

    Args:
        target: see `resolve`.
        limits: of one call; the defaults when not given.
        outputs: of the model, where the plug-in does not state them itself.
        only: methods to judge; all when not given. What a broken one leaves unjudged is `skipped`.
    """
    limits = limits or Limits()
    asked = [each for each in promises() if only is None or each.test in only]
    known: dict[str, Result] = {}
    name, measured = target.path, None
    while len(known) < len(asked):
        job = Job(
            target=target,
            limits=limits,
            outputs=dict(outputs or {}),
            known=list(known.values()),
            only=None if only is None else tuple(only),
            parent=os.getpid(),
        )
        with tempfile.TemporaryFile() as said:
            child = _Child(job, said)
            child.run()
            known.update(child.results)
            name, measured = child.name or name, child.measured or measured
            if child.done:
                break
            known.update(child.verdict())
            if not child.loaded:
                break
    broken = [result.promise for result in known.values() if result.status == "fail"]
    unjudged = f"not judged: {broken[0] if broken else 'the child'} ended the check"
    results = [known.get(each.test) or Result.of(each, "skipped", unjudged) for each in asked]
    return Report(plugin=name, path=target.path, results=results, measured=measured)


class _Child:
    """One child process and what it said."""

    def __init__(self, job: Job, said: IO[bytes]) -> None:
        self.results: dict[str, Result] = {}
        self.name = ""
        self.measured: Measured | None = None
        self.loaded = self.done = False
        self._limits = job.limits
        self._judging = promises()[0].test
        self._call: tuple[str, str] | None = None
        self._calls = 0
        self._kill: tuple[str, str] | None = None
        self._rss = self._held = 0.0
        self._said = said
        self._job = job
        self._code = 0

    def run(self) -> None:
        """Until it is done, dead or killed."""
        read, write = os.pipe()
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with (
            subprocess.Popen(
                [sys.executable, "-c", _START, str(write), *sys.path],
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(write,),
                start_new_session=True,
                env=environment,
            ) as process,
            os.fdopen(read, "rb", buffering=0) as steps,
        ):
            os.close(write)
            try:
                assert process.stdin is not None  # noqa: S101 - asked for
                process.stdin.write(msgspec.json.encode(self._job))
                process.stdin.close()
                self._watch(process, steps)
            finally:
                _kill_all(process)
            self._code = process.wait()

    def _watch(self, process: subprocess.Popen[bytes], steps: IO[bytes]) -> None:
        seen = psutil.Process(process.pid)
        line = b""
        watched, began, spent = -1, time.monotonic(), 0.0
        while self._kill is None:
            if select.select([steps], [], [], _POLL)[0]:
                data = os.read(steps.fileno(), 65536)
                if not data:
                    return
                *whole, line = (line + data).split(b"\n")
                for each in whole:
                    self._take(_steps.decode(each))
                if self.done:
                    return
            try:
                self._rss = seen.memory_info().rss / _MIB
                times = seen.cpu_times()
            except psutil.Error:
                continue  # it is ending: the pipe will say so
            now, cpu = time.monotonic(), times.user + times.system
            if watched != self._calls:
                watched, began, spent = self._calls, now, cpu
                self._held = self._held or (self._rss if self.loaded else 0.0)
            self._kill = self._beyond(now - began, cpu - spent)

    def _take(self, step: Step) -> None:
        self._calls += 1
        if step.kind == "loaded":
            self.loaded, self.name = True, step.what
        elif step.kind == "begin":
            self._judging, self._call = step.what, None
        elif step.kind == "call":
            self._call = (step.what, step.example)
        elif step.kind == "back":
            self._call = None
        elif step.kind == "measured":
            self.measured = step.measured
        elif step.kind == "result" and step.result is not None:
            self.results[step.result.test] = step.result
        elif step.kind == "done":
            self.done = True

    def _beyond(self, clock: float, cpu: float) -> tuple[str, str] | None:
        """(promise, why) when the child must be killed."""
        limits = self._limits
        if not self.loaded:
            slow = clock > limits.load_seconds
            return (TIME, f"had not come back after {clock:.0f} s") if slow else None
        if self._rss - self._held > limits.memory_mib:
            return MEMORY, f"held {self._rss - self._held:.0f} MiB more than the loaded plug-in does"
        if self._call is None:
            return (TIME, f"had not come back after {clock:.0f} s") if clock > _QUIET else None
        if cpu > limits.seconds:
            return TIME, f"had not come back after {cpu:.1f} s of processor time"
        if clock > limits.clock_seconds:
            return TIME, f"had not come back after {clock:.1f} s"
        return None

    def verdict(self) -> Mapping[str, Result]:
        """The promise that the end of this child breaks."""
        all_promises = {each.test: each for each in promises()}
        what, example = self._call or ("importing it" if not self.loaded else "the plug-in", "")
        if self._kill is not None:
            test, why = self._kill
            happened = f"{what} {why}; it was killed"
        else:
            test, happened = COME_BACK, f"{what} {self._ending()}"
            if self.loaded and self._rss - self._held > 0.8 * self._limits.memory_mib:
                test, happened = MEMORY, f"{what} ran out of the {self._limits.memory_mib} MiB that are allowed"
        if not self.loaded:
            return {self._judging: Result.of(all_promises[self._judging], "fail", happened, change=_AT_IMPORT)}
        if self._judging not in BUDGET:
            found = Result.of(all_promises[self._judging], "fail", happened, example, all_promises[test].change)
            return {self._judging: found}
        left = f"not judged: the child ended in {all_promises[test].name}"
        skipped = {each: Result.of(all_promises[each], "skipped", left) for each in BUDGET}
        return {**skipped, test: Result.of(all_promises[test], "fail", happened, example)}

    def _ending(self) -> str:
        if self._code >= 0:
            return f"ended the process (exit code {self._code})"
        self._said.seek(0)
        trace = self._said.read()[-400:].decode("utf-8", "replace").strip()
        fault = next((line for line in trace.splitlines() if line.startswith("Fatal Python error")), "")
        return f"crashed the process ({signal.Signals(-self._code).name}{'; ' + fault if fault else ''})"


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """The child and what it started: they share a session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
