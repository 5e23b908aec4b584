"""The report of one reconciliation, as it stands in its JSON file."""

from __future__ import annotations

from typing import Any

import msgspec

from reconcile.comparison.findings import Discrepancy
from reconcile.comparison.sums import SideFigures


class Timeliness(msgspec.Struct, frozen=True):
    """Seconds from entry to outcome. p50 and p99 are right to one per cent."""

    p50_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


class WindowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one kind. `start`: epoch seconds. `terminal`: lines of the source that have an outcome;
    `gap`: expected - terminal - in_flight. `outcomes`: by name."""

    start: int
    kind: str
    expected: int
    entered: int
    terminal: int
    in_flight: int
    gap: int
    outcomes: dict[str, int] = {}
    timeliness: Timeliness = Timeliness()


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All windows together. `completeness`: terminal / (expected - in_flight), 1.0 of nothing."""

    expected: int
    entered: int
    terminal: int
    in_flight: int
    gap: int
    doubled: int
    completeness: float
    outcomes: dict[str, int]
    timeliness: Timeliness


class PluginFigures(msgspec.Struct, frozen=True):
    """A plug-in version: materials (and posts' texts) with its feature, and those where it failed."""

    plugin: str
    ok: int
    missing: int
    rate: float


class Cause(msgspec.Struct, frozen=True):
    """Outcomes of one cause: their number, and the attempts beyond the first that they took."""

    cause: str
    outcome: str
    materials: int
    retries: int


class Sampled(msgspec.Struct, frozen=True):
    """A material computed again. `verdict`: `same`, `different`, or `unchecked` with the reason in `detail`."""

    material_id: str
    verdict: str
    detail: str = ""


class Objective(msgspec.Struct, frozen=True):
    """What was promised, what is, and whether that is enough."""

    name: str
    target: str
    value: str
    met: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One reconciliation. Moments are epoch seconds; `name`, `revision`: `NAME/rN.json`. `body` of two revisions differ
    in anything but `revision` and `made_at`.

    `uncounted`: runs whose source cannot be counted again, with the reason. `figures`: the sides as compared;
    `differing_buckets`: how many of the buckets had to be looked at by id. `redirects`: content IDs merged in the
    range. `canaries`: by window, what became of the materials that reconciliation itself sent.
    """

    name: str
    revision: int
    made_at: float
    begin: int
    end: int
    window_s: int
    runs: list[str]
    totals: Totals
    windows: list[WindowFigures]
    plugins: list[PluginFigures]
    causes: list[Cause]
    redirects: int
    figures: list[SideFigures]
    buckets: int
    differing_buckets: int
    discrepancies: list[Discrepancy]
    sample: list[Sampled]
    canaries: dict[str, str]
    uncounted: dict[str, str]
    objectives: list[Objective]

    @property
    def met(self) -> bool:
        """Whether every objective is met."""
        return all(objective.met for objective in self.objectives)


def body(report: Report) -> dict[str, Any]:
    """What makes a report differ from an earlier one."""
    told: dict[str, Any] = msgspec.to_builtins(report)
    return {key: value for key, value in told.items() if key not in ("revision", "made_at")}
