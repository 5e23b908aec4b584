"""Votes of local features: planted copies are found, mirrored ones too; removal, snapshots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from materials.records import Feature
from vector_index.spaces import keypoint_votes
from vector_index.spaces.keypoint_votes import KeypointVotes, centroids, mirrored


def points(random: np.random.Generator, count: int = 120) -> NDArray[np.uint8]:
    """A picture's keypoints: places and random directions, the norm of the real ones."""
    rows = np.empty((count, 52), np.uint8)
    rows[:, :4] = random.integers(0, 256, (count, 4))
    vectors = random.normal(size=(count, 48))
    vectors *= 254 / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows[:, 4:] = np.rint(vectors).clip(-127, 127).astype(np.int8).view(np.uint8)
    return rows


def copied(random: np.random.Generator, rows: NDArray[np.uint8], keep: int, mirror: bool = False) -> NDArray[np.uint8]:
    """`keep` of the keypoints with noise, the rest replaced."""
    vectors = rows[:, 4:].view(np.int8).astype(np.float32)
    vectors = vectors + random.normal(0, 5, vectors.shape).astype(np.float32)
    if mirror:
        vectors = mirrored(vectors)
    copy = points(random, len(rows))
    copy[:keep, 4:] = np.rint(vectors[:keep]).clip(-127, 127).astype(np.int8).view(np.uint8)
    return copy


def feature(rows: NDArray[np.uint8]) -> Feature:
    return Feature.of("keypoints", rows)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture
def stored(random: np.random.Generator) -> tuple[KeypointVotes, list[NDArray[np.uint8]]]:
    pictures = [points(random) for _ in range(150)]
    space = KeypointVotes()
    space.add(range(1000, 1150), [feature(rows) for rows in pictures])
    return space, pictures


def test_centroids_are_closed_under_mirroring() -> None:
    cells = centroids()
    half = len(cells) // 2
    assert np.allclose(mirrored(cells[:half]), cells[half:], atol=1e-6)
    assert np.allclose(np.linalg.norm(cells, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_copy_with_a_quarter_of_its_keypoints_is_first(
    stored: tuple[KeypointVotes, list[NDArray[np.uint8]]], random: np.random.Generator, mirror: bool
) -> None:
    space, pictures = stored
    for place in (0, 77, 149):
        query = copied(random, pictures[place], keep=30, mirror=mirror)
        hits = space.search([feature(query)], 10)[0]
        assert hits[0][0] == 1000 + place
        assert len(hits) == 1 or hits[0][1] > 2 * hits[1][1]
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)


def test_an_unrelated_picture_has_next_to_no_votes(
    stored: tuple[KeypointVotes, list[NDArray[np.uint8]]], random: np.random.Generator
) -> None:
    space, pictures = stored
    stranger = space.search([feature(points(random))], 5)[0]
    copy = space.search([feature(copied(random, pictures[3], keep=20))], 5)[0]
    assert max((score for _, score in stranger), default=0.0) < copy[0][1] / 2


def test_a_picture_posted_forty_times_does_not_hide_itself(random: np.random.Generator) -> None:
    picture = points(random)
    space = KeypointVotes()
    space.add(range(40), [feature(copied(random, picture, keep=120)) for _ in range(40)])
    space.add([99], [feature(points(random))])
    hits = space.search([feature(copied(random, picture, keep=120))], 20)[0]
    assert len(hits) == 20
    assert all(row < 40 and score > 0.3 for row, score in hits)


def test_removed_rows_are_never_found_and_can_come_back(
    stored: tuple[KeypointVotes, list[NDArray[np.uint8]]], random: np.random.Generator
) -> None:
    space, pictures = stored
    query = feature(copied(random, pictures[5], keep=60))
    space.remove([1005, 424242])
    assert len(space) == 149
    assert all(row != 1005 for row, _ in space.search([query], 150)[0])
    space.add([1005], [feature(pictures[6])])
    assert all(row != 1005 for row, _ in space.search([query], 1)[0])
    space.add([1005], [feature(pictures[5])])  # replaced without a remove
    assert space.search([query], 1)[0][0][0] == 1005
    assert len(space) == 150


def test_sweeping_the_dead_keeps_the_living(random: np.random.Generator) -> None:
    pictures = [points(random, 40) for _ in range(200)]
    space = KeypointVotes()
    space.add(range(200), [feature(rows) for rows in pictures])
    space.remove(range(0, 200, 2))
    assert space.descriptors < 200 * 40
    for place in (1, 99, 199):
        assert space.search([feature(copied(random, pictures[place], keep=30))], 1)[0][0][0] == place
    found = space.search([feature(copied(random, pictures[0], keep=30))], 200)[0]
    assert all(row % 2 for row, _ in found)


def test_snapshot_round_trip(
    stored: tuple[KeypointVotes, list[NDArray[np.uint8]]], random: np.random.Generator, tmp_path: Path
) -> None:
    space, pictures = stored
    space.remove([1001])
    space.frozen().save(tmp_path)
    other = KeypointVotes()
    other.add([5], [feature(pictures[0])])
    other.load(tmp_path)
    query = feature(copied(random, pictures[9], keep=50))
    assert len(other) == 149
    assert other.search([query], 20) == space.search([query], 20)
    other.add([1001], [feature(pictures[1])])
    assert other.search([feature(pictures[1])], 1)[0][0][0] == 1001
    assert space.search([feature(pictures[1])], 1)[0] != other.search([feature(pictures[1])], 1)[0]


def test_a_snapshot_with_other_cells_is_refused(
    stored: tuple[KeypointVotes, list[NDArray[np.uint8]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, _ = stored
    space.frozen().save(tmp_path)
    monkeypatch.setattr(keypoint_votes, "centroids", lambda: centroids() * np.float32(0.5))
    with pytest.raises(ValueError, match="other cells"):
        KeypointVotes().load(tmp_path)


def test_pictures_without_keypoints(random: np.random.Generator) -> None:
    space = KeypointVotes()
    empty = feature(np.zeros((0, 52), np.uint8))
    assert space.search([empty], 3) == [[]]
    space.add([1, 2], [empty, feature(points(random))])
    assert len(space) == 2
    assert space.search([empty, feature(points(random, 3))], 3)[0] == []
    space.remove([1])
    assert len(space) == 1


def test_wrong_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="shape"):
        KeypointVotes().add([1], [Feature.of("keypoints", np.zeros((3, 51), np.uint8))])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 9)), max_size=25))
def test_behaves_like_a_set_of_rows(steps: list[tuple[str, int]]) -> None:
    pictures = [points(np.random.default_rng(seed), 25) for seed in range(10)]
    space, model = KeypointVotes(), set()
    for what, row in steps:
        if what == "add":
            space.add([row], [feature(pictures[row])])
            model.add(row)
        else:
            space.remove([row])
            model.discard(row)
    assert len(space) == len(model)
    for row in range(10):
        hits = space.search([feature(pictures[row])], 10)[0]
        assert {found for found, _ in hits} <= model
        assert (bool(hits) and hits[0][0] == row) == (row in model)
