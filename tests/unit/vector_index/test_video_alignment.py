"""Known offsets and speeds are found again; what stands still proves nothing; the answer does not depend on luck."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vector_index.ranking.video_alignment import NOTHING, Alignment, Clip, align, step_of

Path = NDArray[np.float64]
DIMENSION = 256
KNOT_SECONDS = 1.5


def path(seed: int, seconds: float = 60.0) -> Path:
    """Random knots: a film whose picture changes every 1.5 seconds, gradually."""
    knots = int(seconds / KNOT_SECONDS) + 2
    return np.random.default_rng(seed).normal(size=(knots, DIMENSION))


def unit(x: NDArray[np.float64]) -> NDArray[np.float32]:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def film(knots: Path, at: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.clip(at / KNOT_SECONDS, 0, len(knots) - 1.001)
    left = place.astype(int)
    share = (place - left)[:, None]
    return knots[left] * (1 - share) + knots[left + 1] * share


def clip(knots: Path, start: float, seconds: float, speed: float = 1.0, noise: float = 0.0, seed: int = 0) -> Clip:
    """Two frames a second of film seconds start + speed * t."""
    times = np.arange(max(1, int(seconds * 2))) / 2
    vectors = film(knots, start + speed * times)
    vectors = vectors + np.random.default_rng(seed).normal(0, noise, vectors.shape)
    return Clip(times=times, vectors=unit(vectors))


def still(background: NDArray[np.float64], seed: int, frames: int = 16, motion: float = 0.25) -> Clip:
    """One static camera: the same picture, with movement of its own."""
    knots = path(seed)
    times = np.arange(frames) / 2
    return Clip(times=times, vectors=unit(background * 16 + motion * 16 * unit(film(knots, times)).astype(float)))


def aligned(query: Clip, reference: Clip, level: float = 0.0) -> Alignment:
    return align(query, reference, np.full(len(query.times), level, np.float32))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    start=st.floats(0, 12),
    seconds=st.floats(4, 12),
    noise=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_a_clip_is_found_where_it_was_cut(seed: int, start: float, seconds: float, noise: float) -> None:
    knots = path(seed)
    result = aligned(clip(knots, start, seconds, noise=noise, seed=seed), clip(knots, 0, 26))
    assert result.speed == pytest.approx(1.0, abs=0.13)
    assert result.offset + result.speed * seconds / 2 == pytest.approx(start + seconds / 2, abs=0.5)
    assert result.query_cover > 0.8
    assert result.motion > 0.4
    assert result.similarity > 0.5
    q0, q1, r0, r1 = result.segment
    assert r0 == pytest.approx(start, abs=1.1)
    assert r1 - r0 == pytest.approx(q1 - q0, abs=1.1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    speed=st.sampled_from([0.5, 0.67, 0.75, 0.9, 1.1, 1.25, 1.33, 1.5, 2.0]),
    start=st.floats(0, 5),
)
def test_speed_is_found(seed: int, speed: float, start: float) -> None:
    knots = path(seed)
    seconds = 14 / speed
    result = aligned(clip(knots, start, seconds, speed, noise=0.2, seed=seed), clip(knots, 0, 24))
    assert result.speed == pytest.approx(speed, rel=0.13)
    assert result.query_cover > 0.7
    assert result.motion > 0.5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_strangers_do_not_align(seed: int) -> None:
    result = aligned(clip(path(seed), 0, 10), clip(path(seed + 100_000), 0, 14))
    assert result.similarity < 0.25
    assert result.motion < 0.6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_one_static_camera_at_two_times_is_similar_but_does_not_move_alike(seed: int) -> None:
    background = unit(np.random.default_rng(seed).normal(size=(1, DIMENSION))).astype(float)
    one, other = still(background, seed + 1), still(background, seed + 2)
    same, different = aligned(one, one), aligned(one, other)
    assert different.similarity > 0.8
    assert same.motion > 0.8
    assert different.motion < 0.6
    assert same.best_motion > different.best_motion + 0.2


def test_a_copy_inside_another_video_covers_the_reference_and_not_the_query() -> None:
    knots, lead = path(1), path(2)
    copy = clip(knots, 0, 8)
    front = clip(lead, 0, 10)
    times = np.arange(len(front.times) + len(copy.times)) / 2
    result = aligned(Clip(times=times, vectors=np.concatenate([front.vectors, copy.vectors])), copy)
    assert result.offset == pytest.approx(-10, abs=0.3)
    assert result.reference_cover > 0.9
    assert result.query_cover < 0.6
    assert result.segment == pytest.approx((10, 18, 0, 8), abs=0.6)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    lengths=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    shift=st.floats(-1000, 1000),
)
def test_bounds_repeatability_and_freedom_from_the_clock(seed: int, lengths: tuple[int, int], shift: float) -> None:
    rng = np.random.default_rng(seed)
    query, reference = (
        Clip(times=np.sort(rng.uniform(0, n / 2, n)), vectors=unit(rng.normal(size=(n, 8)))) for n in lengths
    )
    first = aligned(query, reference)
    assert first == aligned(query, reference)
    assert 0 <= first.query_cover <= 1
    assert 0 <= first.reference_cover <= 1
    assert -1.01 <= first.motion <= 1.01
    assert -1.01 <= first.cosine <= 1.01
    q0, q1, r0, r1 = first.segment
    assert q0 <= q1
    assert r0 <= r1 + 1e-9
    if first is not NOTHING:
        assert query.times[0] - 1e-3 <= q0
        assert reference.times[0] - 1e-3 <= r0 <= r1 <= reference.times[-1] + step_of(reference.times) + 1e-3
    later = aligned(Clip(times=query.times + shift, vectors=query.vectors), reference)
    assert later.query_cover >= 0  # any clock is answered
    assert np.isfinite([later.similarity, later.motion, later.offset]).all()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_clips_match_themselves(frames: int) -> None:
    one = clip(path(3), 0, frames / 2)
    result = aligned(one, one)
    assert result.cosine == pytest.approx(1, abs=1e-4)
    assert result.query_cover == result.reference_cover == 1


def test_cost_of_a_pair() -> None:
    query, reference = clip(path(1), 0, 30), clip(path(1), 0, 30)
    aligned(query, reference)
    spent = []
    for _ in range(7):
        started = time.thread_time()
        aligned(query, reference)
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.02
