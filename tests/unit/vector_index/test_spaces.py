"""Recall spaces against exact search in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_items import unit, vectors, video

from materials.records import Feature
from vector_index.spaces.dense import DenseSpace
from vector_index.spaces.factory import SEARCHED, make_space
from vector_index.spaces.timed import QUERY_FRAMES, TimedSpace, thin

POOL = vectors(40, seed=7)
operations = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "reload"]), st.integers(0, 39)), min_size=1, max_size=25
)


def feature(vector: np.ndarray) -> Feature:
    return Feature.of("vector", vector)


@settings(max_examples=40, deadline=None)
@given(operations)
def test_dense_space_answers_as_exact_search_does(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    space, held = DenseSpace(), {}
    for what, number in steps:
        if what == "reload":
            path = tmp_path_factory.mktemp("space")
            space.frozen().save(path)
            space = DenseSpace()
            space.load(path)
        elif what == "remove":
            space.remove([number, 1000 + number])
            held.pop(number, None)
        elif number not in held:
            space.add([number], [feature(POOL[number])])
            held[number] = POOL[number]
    assert len(space) == len(held)
    query = vectors(1, seed=8)[0]
    expected = sorted(held, key=lambda row: -float(held[row] @ query))[:5]
    assert [row for row, _ in space.search([feature(query)], 5)[0]] == expected


def test_equal_vectors_are_found_in_the_order_of_their_rows() -> None:
    space = DenseSpace()
    feature = Feature.of("vector", unit(np.ones((1, 8)))[0])
    space.add([7, 3, 9, 1], [feature] * 4)
    space.remove([3])
    assert [row for row, _ in space.search([feature], 4)[0]] == [1, 7, 9]


def test_a_wrong_dimension_is_an_error() -> None:
    space = DenseSpace()
    space.add([1], [feature(vectors(1)[0])])
    with pytest.raises(ValueError, match="16 dimensions in a space of 32"):
        space.add([2], [feature(vectors(1, dim=16)[0])])


def test_clip_finds_the_video_it_was_cut_from(tmp_path: Path) -> None:
    films = [vectors(60, seed=seed) for seed in range(5)]
    space = TimedSpace()
    space.add(range(5), [video(f"v{i}", film).features["video-embedding@1"] for i, film in enumerate(films)])
    noise = np.random.default_rng(1).standard_normal((10, films[2].shape[1])) * 0.05
    clip = video("clip", unit(films[2][20:30] + noise)).features["video-embedding@1"]
    space.frozen().save(tmp_path)
    loaded = TimedSpace()
    loaded.load(tmp_path)
    assert len(loaded) == 5
    for one in (space, loaded):
        hits = one.search([clip], 3)[0]
        assert hits[0][0] == 2
        assert hits[0][1] > 0.9
        assert hits[1][1] < 0.7
    space.remove([2, 77])
    assert 2 not in [row for row, _ in space.search([clip], 5)[0]]
    assert len(space) == 4


@given(st.integers(1, 300))
def test_thinning_keeps_the_ends(count: int) -> None:
    frames = np.arange(count, dtype=np.float32)[:, None]
    thinned = thin(frames)
    assert len(thinned) == min(count, QUERY_FRAMES)
    assert (thinned[0, 0], thinned[-1, 0]) == (0, count - 1)


def test_only_embeddings_and_keypoints_have_a_space() -> None:
    assert all(make_space(schema) is not None for schema in SEARCHED)
    assert make_space("pdq") is None
