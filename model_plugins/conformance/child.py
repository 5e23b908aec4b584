"""The child of a check: loads one plug-in, judges promise after promise, and tells its supervisor each step.

Started by `supervise`, not by hand. Standard output and error belong to the plug-in; the steps go to a pipe.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import importlib.util
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from unittest import SkipTest

import msgspec

from model_plugins.conformance.limits import Limits
from model_plugins.conformance.probe import Probe
from model_plugins.conformance.promises import BrokenPromise, described
from model_plugins.conformance.report import Measured, Result
from model_plugins.conformance.suite import PluginConformance, promises
from model_plugins.conformance.targets import Target

_PR_SET_PDEATHSIG = 1


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to judge. `known`: results of an earlier child, which ended in the next promise. `only`: methods."""

    target: Target
    limits: Limits
    outputs: dict[str, tuple[str, tuple[int, ...]]]
    known: list[Result]
    only: tuple[str, ...] | None
    parent: int


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the pipe: loaded, a promise begun, a call begun or ended, a result, done."""

    kind: str
    what: str = ""
    example: str = ""
    result: Result | None = None
    measured: Measured | None = None


_encode = msgspec.json.Encoder().encode


def main(pipe: int) -> None:
    """Judge the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    _end_with(job.parent)
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def tell(step: Step) -> None:
        os.write(pipe, _encode(step) + b"\n")

    known = {result.test: result for result in job.known}
    all_promises = {promise.test: promise for promise in promises()}
    try:
        plugin = _load(job.target)
        key = str(getattr(plugin.manifest, "key", ""))
    except Exception as error:  # loading a plug-in is running its code
        said = f"{job.target.path} cannot be loaded: {described(error)}"
        first = next(iter(all_promises.values()))
        tell(Step(kind="result", result=Result.of(first, "fail", said, change="make this line work, then check again")))
        tell(Step(kind="done"))
        return
    tell(Step(kind="loaded", what=key))
    probe = Probe(job.limits.memory_mib)
    budget: dict[str, Result] = {}

    class Check(PluginConformance):
        outputs: ClassVar = job.outputs
        limits: ClassVar = job.limits
        entry_name: ClassVar = job.target.name

        def observe(self, what: str, example: str, begins: bool) -> None:
            if begins:
                tell(Step(kind="call", what=what, example=example))
                probe.begins(what, example)
            else:
                probe.ends()
                tell(Step(kind="back"))

        def budget(self) -> Mapping[str, Result]:
            if not budget:
                probe.run(self)
                budget.update(probe.results(self, all_promises))
                tell(Step(kind="measured", measured=probe.measured()))
            return budget

    Check.plugin = plugin
    for test, result in known.items():
        ends: dict[str, BaseException | None] = {"fail": AssertionError(), "skipped": SkipTest("")}
        Check._outcomes[test] = ends.get(result.status)
    for test, promise in all_promises.items():
        if test not in known and (job.only is None or test in job.only):
            tell(Step(kind="begin", what=test))
            tell(Step(kind="result", result=_judge(Check(), promise)))
    tell(Step(kind="done"))


def _judge(suite: Any, promise: Any) -> Result:
    try:
        getattr(suite, promise.test)()
    except BrokenPromise as error:
        return Result.of(promise, "fail", error.happened, error.example, error.change)
    except SkipTest as error:
        return Result.of(promise, "skipped", str(error))
    outcome = suite._outcomes[promise.test]
    return Result.of(promise, "pass") if outcome is None else Result.of(promise, "n/a", str(outcome))


def _load(target: Target) -> Any:
    sys.path[:0] = target.folders
    module_name, _, class_name = target.path.partition(":")
    found: Any = _module(module_name, target.file)
    for part in class_name.split("."):
        found = getattr(found, part)
    return found()


def _module(name: str, file: str) -> ModuleType:
    """By its name, unless that is another file's: modules of tests need not be importable by their names."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if not file or (spec is not None and spec.origin and Path(spec.origin).resolve() == Path(file)):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _end_with(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)
