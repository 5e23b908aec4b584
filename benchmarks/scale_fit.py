"""Formulas of `scale_model.py`: cost of a query, cells to search, shards. Pure."""

from __future__ import annotations

import math
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


SURE = 10
"""Misses from which a share is known well enough to tell the fit's error."""
TERMS = ("scale", "probes", "cells_power", "vectors_power")


class Point(msgspec.Struct, frozen=True):
    """One measurement. `seconds`: CPU of one query; `scanned`: vectors it looked at; `found`: the share of the `judged`
    queries whose source, which exact search finds, was found."""

    codes: str
    n: int
    cells: int
    nprobe: int
    scanned: float
    seconds: float
    found: float
    judged: int

    @property
    def misses(self) -> float:
        """Judged queries whose source was not found."""
        return round((1 - self.found) * self.judged)


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
    """The share that is missed = scale * nprobe^-probes * cells^cells_power * n^vectors_power.

    Attributes:
        most_cells: the most that were measured. Beyond, more cells are not credited with finding more: in the measured
            range they do so because they come to fit the clusters, and that ends somewhere.
        skew: vectors scanned over nprobe times the mean list: full lists are probed more often.
        worst_error: of the fitted share at points with ten misses or more, as a factor.
    """

    scale: float
    probes: float
    cells_power: float
    vectors_power: float
    most_cells: int
    skew: float
    worst_error: float

    def missed(self, vectors: float, cells: float, nprobe: float) -> float:
        """The share."""
        credited = min(cells, self.most_cells) if self.cells_power < 0 else cells
        return float(self.scale * nprobe**-self.probes * credited**self.cells_power * vectors**self.vectors_power)

    def needed(self, vectors: float, cells: float, target: float) -> int:
        """The nprobe at which `target` is found; at least one cell."""
        return max(1, math.ceil((self.missed(vectors, cells, 1) / (1 - target)) ** (1 / self.probes)))


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


def fit_nprobe(points: Sequence[Point]) -> NprobeLaw:
    """Least squares of the logarithm of the share missed, each point weighed by its misses (their count is Poisson's).

    A single index's crossing of .999 rests on one or two queries; all points together rest on hundreds.

    Raises:
        ValueError: too few points with misses, or more cells do not help.
    """
    missing = [point for point in points if point.misses > 0]
    if len(missing) < len(TERMS) + 1:
        raise ValueError(f"{len(missing)} points with misses: give lower nprobes or more queries")
    terms = np.array([[1.0, -np.log(p.nprobe), np.log(p.cells), np.log(p.n)] for p in missing])
    shares = np.log([1 - p.found for p in missing])
    weights = np.sqrt([p.misses for p in missing])
    (shift, probes, cells_power, vectors_power), *_ = np.linalg.lstsq(
        terms * weights[:, None], shares * weights, rcond=None
    )
    if probes <= 0:
        raise ValueError("searching more cells finds no more: nothing can be extended from that")
    skew = float(np.median([p.scanned * p.cells / (p.nprobe * p.n) for p in points]))
    errors = np.abs(terms @ np.array([shift, probes, cells_power, vectors_power]) - shares)
    sure = np.array([p.misses >= SURE for p in missing])
    worst = float(np.exp(errors[sure].max())) if sure.any() else math.nan
    most_cells = max(p.cells for p in points)
    return NprobeLaw(math.exp(shift), float(probes), float(cells_power), float(vectors_power), most_cells, skew, worst)


def plan(total: int, code_bytes: float, dim: int, costs: Costs, law: NprobeLaw, target: float) -> Plan:
    """Shards that fit, and what a query costs on all of them.

    Args:
        code_bytes: of a code with its id, in memory.
    """
    memory = code_bytes + ROW_BYTES
    shards = max(1, math.ceil(total * memory / SHARD_BYTES))
    per_shard = math.ceil(total / shards)
    most = max(1, per_shard // POINTS_PER_CELL)
    choices = sorted({min(most, round(factor * math.sqrt(per_shard))) for factor in CELLS_PER_ROOT})
    probes = {cells: min(cells, law.needed(per_shard, cells, target)) for cells in choices}
    seconds, cells = min((costs.of(cells, law.skew * probes[cells] * per_shard / cells), cells) for cells in choices)
    nprobe = probes[cells]
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
