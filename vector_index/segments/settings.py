"""Budgets of a space's storage: memory, disk, threads, and the sizes at which it changes its form."""

from __future__ import annotations

import msgspec

from materials.errors import UsageError


class Probe(msgspec.Struct, frozen=True):
    """Which cells of an inverted file a query looks into.

    Attributes:
        cells: the most that are searched, nearest first.
        margin: a cell is left out whose centre's inner product with the query is by so much below the nearest centre's
            (query-aware dynamic pruning: Chen et al., "SPANN", NeurIPS 2021); 2 leaves none out, since vectors and
            centres have unit length. For a near-duplicate q = s x + sqrt(1 - s^2) n of a stored x, with n in a random
            direction, the centre of x's cell is below the nearest one by sqrt(1 - s^2) n . (m1 - m2) at most, a few
            hundredths at s = 0.8 in most; measured: 0.29 at most (docs/index.md).
    """

    cells: int = 64
    margin: float = 0.3


LEAST_CELLS = 8
"""Searched whatever the margin says: a query far from every centre has many that are nearly as near."""


class SegmentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one space stores and searches.

    Args:
        flat_limit: vectors up to which search is exhaustive, without codes.
        seal_rows: vectors in memory after which the active segment is sealed.
        least_sealed: a snapshot seals an active segment of at least so many; a smaller one is written beside.
        memory: bytes that 8-bit codes of one space may take; beyond, codes of about one bit a dimension (RaBitQ).
        disk_reserve: bytes that must stay free; no segment is built that would leave less.
        nprobe, cell_margin: see `Probe`.
        max_cells: the most cells that are trained.
        regrow: cells are trained anew when the space is this many times larger than when they were.
        fan_in: a segment is merged with the smaller ones, unless it is larger than so many times all of them.
        dead_share: a segment with a larger share of removed rows is written anew.
        build_threads: threads of the process that trains and merges.
        build_niceness: its niceness, 0 to 19.
        inline_rows: jobs of up to so many rows run in a thread here, not in a process of their own.
    """

    flat_limit: int = 20_000
    seal_rows: int = 65_536
    least_sealed: int = 8_192
    memory: int = 1 << 30
    disk_reserve: int = 256 << 20
    nprobe: int = Probe().cells
    cell_margin: float = Probe().margin
    max_cells: int = 4096
    regrow: int = 4
    fan_in: int = 4
    dead_share: float = 0.2
    build_threads: int = 1
    build_niceness: int = 15
    inline_rows: int = 60_000

    def __post_init__(self) -> None:
        for name in ("flat_limit", "seal_rows", "nprobe", "max_cells", "build_threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", "at least 1")
        if self.fan_in < 2 or self.regrow < 2:
            raise UsageError("fan_in and regrow are at least 2")
        if not 0 <= self.cell_margin <= 2:
            raise UsageError(f"cell_margin is {self.cell_margin}", "0 to 2; 2 leaves no cell out")
        if not 0 < self.dead_share < 1:
            raise UsageError(f"dead_share is {self.dead_share}", "between 0 and 1")
        if not 0 <= self.build_niceness <= 19:
            raise UsageError(f"build_niceness is {self.build_niceness}", "0 to 19")

    @property
    def probe(self) -> Probe:
        """Which cells are searched."""
        return Probe(self.nprobe, self.cell_margin)
