"""The formulas behind docs/scale.md: they give back what they were made from, and a plan fits its machines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.scale_fit import ROW_BYTES, SHARD_BYTES, Costs, NprobeLaw, Point, fit_costs, fit_nprobe, plan

TRUE = Costs(5e-5, 4e-8, 3e-8, 0.0)


LAW = NprobeLaw(0.002, 0.8, 0.3, 0.1, 4096, 1.2, 1.0)


def point(cells: int, nprobe: int, n: int = 100_000) -> Point:
    scanned = 1.2 * nprobe * n / cells
    found = 1 - LAW.missed(n, cells, nprobe)
    return Point("sq8", n, cells, nprobe, scanned, TRUE.of(cells, scanned), found, 10_000_000)


def test_costs_are_found_again() -> None:
    fitted = fit_costs([point(cells, nprobe) for cells in (500, 1000, 4000) for nprobe in (8, 32, 128)])
    assert fitted.fixed == pytest.approx(TRUE.fixed, rel=1e-6)
    assert fitted.cell == pytest.approx(TRUE.cell, rel=1e-6)
    assert fitted.vector == pytest.approx(TRUE.vector, rel=1e-6)
    assert fitted.worst_error < 1e-6


def test_the_share_missed_is_found_again() -> None:
    points = [point(cells, nprobe, n) for n in (50_000, 400_000) for cells in (512, 4096) for nprobe in (8, 32, 128)]
    law = fit_nprobe(points)
    assert (law.probes, law.cells_power, law.vectors_power) == pytest.approx((0.8, 0.3, 0.1), abs=0.01)
    assert law.scale == pytest.approx(LAW.scale, rel=0.1)
    assert law.skew == pytest.approx(1.2)
    assert law.worst_error < 1.01
    needed = law.needed(400_000, 4096, 0.999)
    assert law.missed(400_000, 4096, needed) <= 0.001 < law.missed(400_000, 4096, needed - 1)


def test_more_cells_than_were_measured_are_not_credited() -> None:
    law = NprobeLaw(3.0, 1.0, -1.0, 0.4, 4096, 1.2, 1.0)
    assert law.missed(1e6, 2048, 16) == pytest.approx(2 * law.missed(1e6, 4096, 16))
    assert law.missed(1e6, 65_536, 16) == law.missed(1e6, 4096, 16)


def test_points_that_tell_nothing_are_an_error() -> None:
    whole = [replace(point(1000, nprobe), found=1.0) for nprobe in (8, 16, 32, 64, 128, 256)]
    with pytest.raises(ValueError, match="0 points with misses"):
        fit_nprobe(whole)
    worse = [replace(point(1000 * k, 8 * k, 50_000 * k), found=0.9 - 0.1 * k) for k in (1, 2, 4, 5, 6)]
    worse += [replace(point(1000, nprobe), found=0.9 - nprobe / 1000) for nprobe in (8, 64, 256)]
    with pytest.raises(ValueError, match="finds no more"):
        fit_nprobe(worse)


@given(st.integers(10_000, 10**10), st.sampled_from([48.0, 264.0]))
def test_a_plan_fits_its_machines(total: int, code_bytes: float) -> None:
    one = plan(total, code_bytes, 256, TRUE, LAW, 0.999)
    assert one.shards * one.per_shard >= total
    assert one.per_shard * one.memory_per_vector <= SHARD_BYTES + one.memory_per_vector
    assert one.memory_per_vector == code_bytes + ROW_BYTES
    assert 1 <= one.nprobe <= one.cells <= one.per_shard
    assert one.cores_for_1000 == pytest.approx(1000 * one.shards / one.queries_per_core)
    larger = plan(10 * total, code_bytes, 256, TRUE, LAW, 0.999)
    assert larger.cores_for_1000 > one.cores_for_1000 * 0.99
    assert np.isclose(larger.memory_bytes, 10 * one.memory_bytes)
