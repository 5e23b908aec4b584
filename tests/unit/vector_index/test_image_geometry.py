"""RANSAC over stored keypoints: planted affine maps are found both ways round, impossible ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vector_index.ranking import geometry
from vector_index.ranking.geometry import MIRROR_SIGNS, NOTHING, Keypoints, agree, match, unpack

Floats = NDArray[np.float32]


def picture(seed: int, count: int = 150) -> Keypoints:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Keypoints(random.uniform(0, 1, (count, 2)).astype(np.float32) * [1, 0.75], vectors)  # type: ignore[arg-type]


def moved(original: Keypoints, matrix: Floats, keep: int, seed: int = 9) -> Keypoints:
    """The first `keep` keypoints under an affine map [2, 3], the others replaced."""
    other = picture(seed, len(original.xy))
    xy, vectors = other.xy.astype(np.float32), other.descriptors.copy()
    xy[:keep] = original.xy[:keep] @ matrix[:, :2].T + matrix[:, 2]
    vectors[:keep] = original.descriptors[:keep]
    if np.linalg.det(matrix[:, :2]) < 0:
        vectors[:keep] *= MIRROR_SIGNS
    return Keypoints(xy, vectors)


def affine(angle: float, scale: float, mirror: bool = False, stretch: float = 1.0) -> Floats:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    linear = turn @ np.diag([-stretch if mirror else stretch, 1.0])
    return np.concatenate([linear, [[0.2], [0.1]]], axis=1).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.25, 3.0),
    mirror=st.booleans(),
    stretch=st.floats(0.6, 1.6),
    keep=st.integers(25, 150),
)
def test_planted_maps_are_found(angle: float, scale: float, mirror: bool, stretch: float, keep: int) -> None:
    original = picture(1)
    found = agree(moved(original, affine(angle, scale, mirror, stretch), keep), original)
    assert found.inliers >= 0.85 * keep
    assert found.mirrored is mirror
    assert found.share > 0.6
    assert 1 <= found.cells <= 64
    assert found.area > 0


def test_unrelated_pictures_do_not_agree() -> None:
    assert max(agree(picture(seed), picture(100 + seed)).inliers for seed in range(20)) <= 5


@pytest.mark.parametrize("matrix", [affine(0, 0.01), affine(0, 20), affine(0, 1, stretch=6)])
def test_incredible_maps_are_refused(matrix: Floats) -> None:
    """All points on one spot, a giant, a sliver: SIFT would not have survived them, so it is chance."""
    original = picture(1)
    assert agree(moved(original, matrix, 100), original).inliers < 8


def test_mirrored_descriptors_on_an_unmirrored_map_are_chance() -> None:
    original = picture(1)
    turned = moved(original, affine(0.3, 1.0), 100)
    vectors = turned.descriptors.copy()
    vectors[:100] *= MIRROR_SIGNS
    assert agree(Keypoints(turned.xy, vectors), original).inliers < 8


def test_keypoints_on_one_spot_count_once() -> None:
    """SIFT writes one row for each dominant angle: three angles are not three witnesses."""
    original = picture(1, 120)
    query = moved(original, affine(0.5, 1.2), 120)
    thrice = Keypoints(np.repeat(original.xy[:40], 3, axis=0), np.roll(original.descriptors, 0, axis=0))
    asked = Keypoints(np.repeat(query.xy[:40], 3, axis=0), query.descriptors)
    assert agree(asked, thrice).inliers <= 40


def test_a_reference_point_is_used_once() -> None:
    original = picture(1, 60)
    doubled = Keypoints(np.concatenate([original.xy] * 2), np.concatenate([original.descriptors] * 2))
    ours, theirs = match(doubled, original)
    assert len(set(theirs.tolist())) == len(theirs)
    assert len(ours) == len(theirs) == 60


def test_deterministic() -> None:
    query = moved(picture(1), affine(0.4, 0.8), 30)
    assert agree(query, picture(1)) == agree(query, picture(1))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points(count: int) -> None:
    few = Keypoints(*(part[:count] for part in picture(1)))
    assert agree(few, picture(1)) == NOTHING
    assert agree(picture(1), few) == NOTHING


def test_unpack_reads_the_stored_layout() -> None:
    row = np.zeros((1, 52), np.uint8)
    row[0, :4] = [0xFF, 0xFF, 0x00, 0x80]
    row[0, 4:] = np.array([-127] + [0] * 46 + [127], np.int8).view(np.uint8)
    xy, vectors = unpack(row)
    assert np.allclose(xy, [[1.0, 0x8000 / 65535]])
    assert np.allclose(vectors[0, [0, 47]], [-np.sqrt(0.5), np.sqrt(0.5)], atol=1e-4)
    with pytest.raises(ValueError, match="uint8"):
        unpack(np.zeros((2, 51), np.uint8))


def framed(held: int, outside: Keypoints, where: Floats | None = None) -> Keypoints:
    """A page: `outside` in a border around a picture of its own, moved by `where` inside the page."""
    inside = picture(held, 90)
    xy = (inside.xy * [0.6, 0.5] + [0.2, 0.2]).astype(np.float32)
    if where is not None:
        xy = ((xy - [0.5, 0.39]) @ where.T + [0.5, 0.39]).astype(np.float32)
    border = (
        (outside.xy[:, 0] < 0.15) | (outside.xy[:, 0] > 0.85) | (outside.xy[:, 1] < 0.1) | (outside.xy[:, 1] > 0.65)
    )
    return Keypoints(
        np.concatenate([xy, outside.xy[border].astype(np.float32)]),
        np.concatenate([inside.descriptors, outside.descriptors[border]]),
    )


def test_a_common_frame_explains_neither_picture() -> None:
    page = picture(50, 150)
    copies, strangers = agree(framed(1, page), framed(1, page)), agree(framed(2, page), framed(1, page))
    assert strangers.inliers > 30
    assert copies.explained > 0.95
    assert strangers.explained < 0.75


def test_one_picture_in_two_sizes_inside_one_frame_needs_two_maps() -> None:
    page = picture(50, 260)
    found = agree(framed(1, page, np.diag([0.6, 0.6])), framed(1, page))
    assert found.parts == 2
    assert found.explained > 0.85


def test_a_paste_is_explained_as_the_picture_that_it_holds() -> None:
    original = picture(1)
    ground = picture(60, 120)
    small = (original.xy * 0.4 + [0.5, 0.3]).astype(np.float32)
    around = (ground.xy < [0.5, 0.3]).any(axis=1)
    page = Keypoints(
        np.concatenate([small, ground.xy[around].astype(np.float32)]),
        np.concatenate([original.descriptors, ground.descriptors[around]]),
    )
    found = agree(page, original)
    assert found.explained > 0.95
    assert found.inside < 0.75


@given(arrays(np.float64, (2, 3), elements=st.floats(-9, 9)))
def test_the_stretch_of_a_map_is_its_singular_values_and_determinant(matrix: NDArray[np.float64]) -> None:
    large, small, determinant = geometry._stretch(matrix)
    assert [large, small] == pytest.approx(np.linalg.svd(matrix[:, :2], compute_uv=False).tolist(), abs=1e-6)
    assert determinant == pytest.approx(float(np.linalg.det(matrix[:, :2])), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_places_are_counted_once(cells: list[tuple[int, int]]) -> None:
    assert geometry._distinct(np.array(cells, np.int64).reshape(-1, 2)) == len(set(cells))
