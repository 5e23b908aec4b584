"""The outcome of a check, for people and for programs."""

from __future__ import annotations

from typing import Literal

import msgspec

from model_plugins.conformance.promises import Promise, where

Status = Literal["pass", "fail", "skipped", "n/a"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One promise. `skipped`: it rests on a broken one, named in `happened`. `n/a`: this plug-in does not make it.

    `test`: the method of `PluginConformance`. `see`: the line of the protocol's documentation.
    """

    promise: str
    test: str
    status: Status
    promised: str
    happened: str = ""
    example: str = ""
    change: str = ""
    see: str = ""

    @classmethod
    def of(cls, promise: Promise, status: Status, happened: str = "", example: str = "", change: str = "") -> Result:
        """For a failure, with the advice and where to read."""
        told = {"change": change or promise.change, "see": where(promise.see)} if status == "fail" else {}
        return cls(
            promise=promise.name,
            test=promise.test,
            status=status,
            promised=promise.promised,
            happened=happened,
            example=example,
            **told,
        )


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The dearest call over all examples: processor seconds, and what was held beyond the loaded plug-in."""

    seconds: float
    call: str
    example: str
    memory_mib: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All promises of one plug-in, in the order of the suite. `plugin`: `name@version`, else its path."""

    plugin: str
    path: str
    results: list[Result]
    measured: Measured | None = None

    @property
    def passed(self) -> bool:
        """Nothing failed, and nothing was left unjudged."""
        return all(result.status in ("pass", "n/a") for result in self.results)

    @property
    def failures(self) -> list[Result]:
        """What the author has to look at."""
        return [result for result in self.results if result.status == "fail"]
