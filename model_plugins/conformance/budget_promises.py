"""Promises about what a call costs. They are judged in a child process, since what loops or exits cannot be judged
from within."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest import SkipTest
from weakref import WeakKeyDictionary

from model_plugins.conformance.base import Suite
from model_plugins.conformance.limits import Limits
from model_plugins.conformance.promises import BrokenPromise, promise
from model_plugins.conformance.report import Result
from model_plugins.conformance.stand_in import Outputs

COME_BACK = "test_calls_come_back"
TIME = "test_calls_keep_their_time"
MEMORY = "test_calls_keep_their_memory"
FORGET = "test_calls_keep_nothing_of_a_material"
OFFLINE = "test_calls_open_no_connection"
BUDGET = (COME_BACK, TIME, MEMORY, FORGET, OFFLINE)

_NEEDS = ("test_has_examples",)
_known: WeakKeyDictionary[type, tuple[Limits, Outputs, Mapping[str, Result]]] = WeakKeyDictionary()


class BudgetPromises(Suite):
    """Every example goes its whole way, several times, in a child that is measured and can be killed."""

    @promise(
        "every call comes back to its caller: it neither ends the process nor crashes it",
        see="What a plug-in is: a manifest and two pure functions.",
        change="raise an error instead of calling exit; look at native code for the crash",
        needs=_NEEDS,
    )
    def test_calls_come_back(self) -> None:
        self._judge(COME_BACK)

    @promise(
        "no call takes longer than its time budget",
        see="`prepare` runs in the media child",
        change="bound every loop by the size of the medium; shrink large media first; or allow more with --seconds",
        needs=_NEEDS,
    )
    def test_calls_keep_their_time(self) -> None:
        self._judge(TIME)

    @promise(
        "no call holds more memory than its budget",
        see="`prepare` runs in the media child",
        change="shrink large media first, work in blocks, keep small dtypes; or allow more with --memory-mib",
        needs=_NEEDS,
    )
    def test_calls_keep_their_memory(self) -> None:
        self._judge(MEMORY)

    @promise(
        "when a material is done, nothing of it stays in memory",
        see="Instances are cheap, hold no connections",
        change="keep no list or dictionary that grows with the materials; bound every cache",
        needs=(COME_BACK, TIME, MEMORY),
    )
    def test_calls_keep_nothing_of_a_material(self) -> None:
        self._judge(FORGET)

    @promise(
        "no call opens a network connection: the platform calls the model",
        see="forms batches and calls it.",
        change="name the model in the manifest and let the platform call it; bring files in the package",
        needs=(COME_BACK, TIME, MEMORY),
    )
    def test_calls_open_no_connection(self) -> None:
        self._judge(OFFLINE)

    def budget(self) -> Mapping[str, Result]:
        """Results of these promises, by method; found out in a child, once for each class of plug-in."""
        from model_plugins.conformance.supervise import supervise  # it runs this suite
        from model_plugins.conformance.targets import target_of

        kind: type[Any] = type(self.plugin)
        known = _known.get(kind)
        if known is None or known[:2] != (self.limits, self.stated_outputs):
            report = supervise(target_of(kind), self.limits, outputs=self.stated_outputs, only=BUDGET)
            results = {result.test: result for result in report.results}
            known = _known[kind] = (self.limits, self.stated_outputs, results)
        return known[2]

    def _judge(self, test: str) -> None:
        result = self.budget()[test]
        if result.status == "fail":
            raise BrokenPromise(result.happened, result.example, result.change)
        if result.status == "skipped":
            raise SkipTest(result.happened)
