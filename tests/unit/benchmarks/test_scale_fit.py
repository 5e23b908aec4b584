"""The formulas behind docs/scale.md: they give back what they were made from, and a plan fits its machines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale_fit import ROW_BYTES, SHARD_BYTES, Costs, NprobeLaw, Point, fit_costs, fit_nprobe, plan

TRUE = Costs(5e-5, 4e-8, 3e-8, 0.0)


def point(cells: int, nprobe: int, n: int = 100_000, found: float = 1.0) -> Point:
    scanned = 1.2 * nprobe * n / cells
    return Point("sq8", n, cells, nprobe, scanned, TRUE.of(cells, scanned), found)


def test_costs_are_found_again() -> None:
    fitted = fit_costs([point(cells, nprobe) for cells in (500, 1000, 4000) for nprobe in (8, 32, 128)])
    assert fitted.fixed == pytest.approx(TRUE.fixed, rel=1e-6)
    assert fitted.cell == pytest.approx(TRUE.cell, rel=1e-6)
    assert fitted.vector == pytest.approx(TRUE.vector, rel=1e-6)
    assert fitted.worst_error < 1e-6


def test_the_cells_to_search_are_a_power_of_all_cells() -> None:
    points = []
    for cells in (256, 1024, 4096):
        needed = 2.0 * cells**0.5
        points += [point(cells, int(needed / 4), found=0.99), point(cells, int(needed), found=0.999)]
        points.append(point(cells, int(needed * 4), found=1.0))
    law = fit_nprobe(points, 0.999)
    assert (law.factor, law.power, law.skew) == pytest.approx((2.0, 0.5, 1.2), rel=1e-6)
    assert law.of(4096) in (128, 129)


def test_between_two_measurements_it_is_interpolated() -> None:
    points = [point(1000, 16, found=0.990), point(1000, 64, found=1.0)]
    law = fit_nprobe(points, 0.995)
    assert law.factor == pytest.approx(32.0)
    assert law.power == 0.0


def test_no_index_that_finds_enough_is_an_error() -> None:
    with pytest.raises(ValueError, match="higher nprobes"):
        fit_nprobe([point(1000, 16, found=0.9)], 0.999)


@given(st.integers(10_000, 10**10), st.sampled_from([48.0, 264.0]))
def test_a_plan_fits_its_machines(total: int, code_bytes: float) -> None:
    one = plan(total, code_bytes, 256, TRUE, NprobeLaw(2.0, 0.5, 1.2))
    assert one.shards * one.per_shard >= total
    assert one.per_shard * one.memory_per_vector <= SHARD_BYTES + one.memory_per_vector
    assert one.memory_per_vector == code_bytes + ROW_BYTES
    assert 1 <= one.nprobe <= one.cells <= one.per_shard
    assert one.cores_for_1000 == pytest.approx(1000 * one.shards / one.queries_per_core)
    larger = plan(10 * total, code_bytes, 256, TRUE, NprobeLaw(2.0, 0.5, 1.2))
    assert larger.cores_for_1000 > one.cores_for_1000 * 0.99
    assert np.isclose(larger.memory_bytes, 10 * one.memory_bytes)
