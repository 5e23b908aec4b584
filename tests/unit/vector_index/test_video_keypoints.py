"""Key frames of two videos: the same things at fitting moments, at any moment, in a part of the picture, or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature, Features
from vector_index.ranking.video import relation_of
from vector_index.ranking.video_alignment import Alignment
from vector_index.ranking.video_keypoints import FEATURE, SILENT, LocalMatch, compare, key_frames_of

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
