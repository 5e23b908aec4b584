"""Key frames of two videos: the same things at fitting moments, at any moment, in a part of the picture, or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from materials.records import Feature, Features
from vector_index.ranking.video import relation_of
from vector_index.ranking.video_alignment import Alignment
from vector_index.ranking.video_keypoints import (
    FEATURE,
    SILENT,
    LocalMatch,
    compare,
    key_frames_of,
    lines_of,
    moment_of,
)

POINTS = 90


def frame(scene: int, left: float = 0.0, top: float = 0.0, scale: float = 1.0, other: int = 0) -> NDArray[np.uint8]:
    """Keypoints [n, 52] of a scene, drawn smaller at a place; around it those of scene `other`, if one is given."""
    random = np.random.default_rng(scene)
    xy = random.uniform(0.05, 0.95, (POINTS, 2)) * [1, 0.75]
    vectors = random.normal(size=(POINTS, 48))
    vectors = np.rint(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * 127)
    xy = xy * scale + [left, top]
    if other:
        more = np.random.default_rng(other)
        around = more.uniform(0.05, 0.95, (2 * POINTS, 2)) * [1, 0.75]
        outside = (around < [left, top]).any(axis=1) | (around > [left + scale, top + 0.75 * scale]).any(axis=1)
        theirs = more.normal(size=(2 * POINTS, 48))
        theirs = np.rint(theirs / np.linalg.norm(theirs, axis=1, keepdims=True) * 127)
        xy, vectors = np.concatenate([xy, around[outside]]), np.concatenate([vectors, theirs[outside]])
    place = np.rint(xy * 65535).astype("<u2").view(np.uint8).reshape(-1, 4)
    return np.concatenate([place, vectors.astype(np.int8).view(np.uint8)], axis=1)


def video(frames: Sequence[NDArray[np.uint8]], spacing: float = 1.5) -> Features:
    rows = []
    for number, points in enumerate(frames):
        stamp = np.full(len(points), round(1000 * spacing * number), "<u4").view(np.uint8).reshape(-1, 4)
        rows.append(np.concatenate([stamp, points], axis=1))
    return {FEATURE: Feature.of("timed-keypoints", np.concatenate(rows))}


def matched(query: Features, reference: Features) -> LocalMatch:
    ours, theirs = key_frames_of(query), key_frames_of(reference)
    assert ours is not None
    assert theirs is not None
    return compare(ours, theirs)


def test_a_copy_agrees_frame_by_frame() -> None:
    clip = video([frame(n) for n in range(1, 6)])
    found = matched(clip, clip)
    assert found.query_share > 0.8
    assert found.along > 0.8
    assert found.static < 0.3
    assert found.query_found == found.reference_found == 1.0
    assert found.inside > 0.9


def test_other_videos_say_nothing() -> None:
    assert matched(video([frame(n) for n in range(1, 5)]), video([frame(n) for n in range(11, 15)])) == SILENT


def test_a_background_that_stands_still_is_the_same_at_all_moments() -> None:
    still = video([frame(7)] * 5)
    assert matched(still, still).static > 0.95


def before_a_still_background(moments: Sequence[int], jitter: int = 0) -> Features:
    """A background of 60 points, and before it 30 that are others at each moment; `jitter`: points that a copy lost."""
    frames = []
    for moment in moments:
        seen = np.concatenate([frame(7)[:60], frame(100 + moment)[:30]])
        lost = np.random.default_rng([jitter, moment]).permutation(len(seen))[: 18 if jitter else 0]
        frames.append(np.delete(seen, lost, axis=0))
    return video(frames)


def test_a_static_camera_s_own_moments_are_told_from_its_other_ones() -> None:
    clip = before_a_still_background(range(6))
    copy, later = before_a_still_background(range(6), jitter=1), before_a_still_background(range(20, 26), jitter=2)
    same, other = matched(copy, clip), matched(later, clip)
    assert other.static > 0.9
    assert other.along > 0.8
    assert same.moment > 8
    assert other.moment < 3


def test_a_cut_and_faster_copy_has_its_moments_too() -> None:
    clip = before_a_still_background(range(8))
    cut = before_a_still_background(range(3, 8), jitter=1)
    fast = key_frames_of(before_a_still_background(range(8), jitter=1))
    reference = key_frames_of(clip)
    assert fast is not None
    assert reference is not None
    fast = fast._replace(times=fast.times / 1.5)
    assert matched(cut, clip).moment > 6
    assert compare(fast, reference).moment > 6


def test_too_few_key_frames_have_no_moment() -> None:
    one, two = before_a_still_background([0]), before_a_still_background([0, 1])
    for found in (matched(one, two), matched(two, two)):
        assert (found.moment, found.timed) == (0.0, False)
        assert found.best > 0
    assert matched(two, before_a_still_background(range(4))).timed


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(2, 8),
    references=st.integers(3, 10),
    seed=st.integers(0, 1000),
)
def test_what_rows_and_columns_explain_is_no_moment(queries: int, references: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    lines = lines_of(1.5 * np.arange(queries), 1.5 * np.arange(references))
    still = random.uniform(0.2, 0.5, (queries, 1)) + random.uniform(0.0, 0.4, (1, references))
    found = moment_of(lines, still)
    assert found is None or found < 1e-6
    moved = moment_of(lines, still + 0.1 * np.eye(queries, references))
    assert moved is None or (found is not None and moved > found)


def test_frames_out_of_order_are_not_along_one_line() -> None:
    scenes = [1, 2, 3, 4, 5, 6]
    mixed = [4, 1, 6, 2, 5, 3]
    shuffled = matched(video([frame(n) for n in mixed], 4.0), video([frame(n) for n in scenes], 4.0))
    assert shuffled.query_share > 0.8
    assert shuffled.along < 0.7 * shuffled.query_share


def test_a_picture_in_a_picture_is_all_of_the_reference_and_a_part_of_the_query() -> None:
    reference = video([frame(n) for n in range(1, 5)])
    held = video([frame(n, 0.5, 0.3, 0.4, other=20 + n) for n in range(1, 5)])
    found = matched(held, reference)
    assert found.query_found == 1.0
    assert found.inside < 0.5
    whole = Alignment(1.0, 0.0, 0.1, 0.3, 0.1, 0.1, 8, 0.9, 0.9, 0.1, 0.1, (0.0, 6.0, 0.0, 6.0))
    assert relation_of(whole, found) == "contains"
    assert relation_of(whole, matched(reference, reference)) == "same"


def test_a_clip_of_a_longer_video_is_a_part_of_it() -> None:
    found = matched(video([frame(n) for n in (3, 4)]), video([frame(n) for n in range(1, 9)]))
    assert found.query_found == 1.0
    assert found.reference_found <= 0.3
    part = Alignment(1.0, 3.0, 0.1, 0.3, 0.1, 0.1, 6, 0.9, 0.25, 0.1, 0.1, (0.0, 3.0, 3.0, 6.0))
    assert relation_of(part, found) == "part_of"


def test_what_is_not_such_a_feature_is_not_read() -> None:
    assert key_frames_of({}) is None
    assert key_frames_of({FEATURE: Feature.of("timed-keypoints", np.zeros((3, 52), np.uint8))}) is None
    empty = key_frames_of({FEATURE: Feature.of("timed-keypoints", np.zeros((0, 56), np.uint8))})
    assert empty is not None
    assert compare(empty, empty) == SILENT
