"""Formulas of `scale_model.py`: cost of a query, cells to search, shards. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.optimize import nnls

SHARD_BYTES = 48e9
"""Of a machine with 64 GB: a quarter stays for the log's cache, the active segment, builds and the system."""
ROW_BYTES = 24.0
"""A row's slot in the index's own tables, per vector in memory: its id, its place in the segment and its mark."""
HALF = 2
POINTS_PER_CELL = 39
CELLS_PER_ROOT = (4, 6, 8, 12, 16)
"""Cells of a large shard over the root of its vectors, as FAISS advises; the cheapest by the formula is taken."""


class Point(msgspec.Struct, frozen=True):
    """One measurement. `seconds`: CPU of one query; `scanned`: vectors it looked at; `found`: of exact search's."""

    codes: str
    n: int
    cells: int
    nprobe: int
    scanned: float
    seconds: float
    found: float


class Costs(msgspec.Struct, frozen=True):
    """CPU seconds of a query = fixed + cell * cells + vector * scanned. `worst_error`: relative, of the fit."""

    fixed: float
    cell: float
    vector: float
    worst_error: float

    def of(self, cells: float, scanned: float) -> float:
        """Seconds."""
        return self.fixed + self.cell * cells + self.vector * scanned


class NprobeLaw(msgspec.Struct, frozen=True):
    """Cells to search = factor * cells^power; `skew`: vectors scanned over nprobe times the mean list."""

    factor: float
    power: float
    skew: float

    def of(self, cells: int) -> int:
        """At least one cell."""
        return max(1, math.ceil(self.factor * cells**self.power))


class Plan(msgspec.Struct, frozen=True):
    """What so many vectors need. Every shard is asked for every query."""

    shards: int
    per_shard: int
    cells: int
    nprobe: int
    memory_per_vector: float
    memory_bytes: float
    disk_bytes: float
    queries_per_core: float
    cores_for_1000: float


def fit_costs(points: Sequence[Point]) -> Costs:
    """Least squares of the relative error, without negative terms."""
    seconds = np.array([point.seconds for point in points])
    terms = np.array([[1.0, point.cells, point.scanned] for point in points])
    scale = terms.max(axis=0)
    weights, _ = nnls(terms / scale / seconds[:, None], np.ones(len(points)))
    fixed, cell, vector = (weights / scale).tolist()
    error = float(np.abs(terms @ np.array([fixed, cell, vector]) / seconds - 1).max())
    return Costs(fixed, cell, vector, error)


def needed_nprobe(points: Sequence[Point], target: float) -> float | None:
    """Where found crosses the target, linear in log nprobe between measurements; None where it never does.

    Args:
        points: of one index.
    """
    ordered = sorted(points, key=lambda point: point.nprobe)
    before: Point | None = None
    for point in ordered:
        if point.found >= target:
            if before is None or point.found == before.found:
                return float(point.nprobe)
            share = (target - before.found) / (point.found - before.found)
            return float(before.nprobe * (point.nprobe / before.nprobe) ** share)
        before = point
    return None


def fit_nprobe(points: Sequence[Point], target: float) -> NprobeLaw:
    """A line through log cells and log nprobe; cells alone where fewer than two indexes reach the target.

    Raises:
        ValueError: no index reaches the target.
    """
    by_index: defaultdict[tuple[int, int], list[Point]] = defaultdict(list)
    for point in points:
        by_index[(point.n, point.cells)].append(point)
    reached = [(cells, needed_nprobe(group, target)) for (_, cells), group in by_index.items()]
    known = [(cells, nprobe) for cells, nprobe in reached if nprobe is not None]
    if not known:
        raise ValueError(f"no measured index finds {target}: give higher nprobes")
    skew = float(np.median([point.scanned * point.cells / (point.nprobe * point.n) for point in points]))
    cells, nprobes = np.array(known).T
    if len(set(cells.tolist())) < 2:
        return NprobeLaw(float(np.median(nprobes)), 0.0, skew)
    power, _ = np.polyfit(np.log(cells), np.log(nprobes), 1)
    # never fewer cells in a larger index than in a measured one
    power = max(0.0, float(power))
    return NprobeLaw(float(np.exp(np.mean(np.log(nprobes) - power * np.log(cells)))), power, skew)


def plan(total: int, code_bytes: float, dim: int, costs: Costs, law: NprobeLaw) -> Plan:
    """Shards that fit, and what a query costs on all of them.

    Args:
        code_bytes: of a code with its id, in memory.
    """
    memory = code_bytes + ROW_BYTES
    shards = max(1, math.ceil(total * memory / SHARD_BYTES))
    per_shard = math.ceil(total / shards)
    most = max(1, per_shard // POINTS_PER_CELL)
    choices = sorted({min(most, round(factor * math.sqrt(per_shard))) for factor in CELLS_PER_ROOT})
    seconds, cells = min((_seconds(per_shard, cells, costs, law), cells) for cells in choices)
    nprobe = min(cells, law.of(cells))
    return Plan(
        shards=shards,
        per_shard=per_shard,
        cells=cells,
        nprobe=nprobe,
        memory_per_vector=memory,
        memory_bytes=total * memory,
        disk_bytes=total * (code_bytes + HALF * dim + 8),
        queries_per_core=1 / seconds,
        cores_for_1000=1000 * seconds * shards,
    )


def _seconds(vectors: int, cells: int, costs: Costs, law: NprobeLaw) -> float:
    """CPU of one query."""
    return costs.of(cells, law.skew * min(cells, law.of(cells)) * vectors / cells)
