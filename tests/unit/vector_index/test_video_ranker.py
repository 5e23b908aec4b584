"""The ranker keeps its protocol: a candidate for each, probabilities that order copies before strangers, relations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from materials.records import Feature
from vector_index.ranking.protocol import Evidence, Recall, RecallHit
from vector_index.ranking.video import FEATURE, VideoAlignment, backgrounds, clip_of
from vector_index.ranking.video_score import FEATURES, SIGNED, WEIGHTS_FILE, load_weights, probability

NO_RECALL = Recall(hits={})


def frames(seed: int, start: int = 0, count: int = 20, noise: float = 0.0) -> NDArray[np.float32]:
    """Rows `start`.. of a random walk: [count, 257], seconds and unit vectors."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(80, 256))
    walk = (walk + np.roll(walk, 1, axis=0))[start : start + count]
    walk += np.random.default_rng(seed + 1).normal(0, noise, walk.shape)
    vectors = walk / np.linalg.norm(walk, axis=1, keepdims=True)
    return np.column_stack([np.arange(len(vectors)) / 2, vectors]).astype(np.float32)


def video(name: str, rows: NDArray[np.float32], content_id: str = "") -> Evidence:
    features = {FEATURE: Feature.of("timed-vectors", rows)}
    return Evidence(material_id=name, kind="video", features=features, content_id=content_id)


def test_copies_before_strangers_with_their_relations() -> None:
    whole = frames(1, count=40)
    candidates = [
        video("whole", frames(1, count=40, noise=0.3)),
        video("longer", frames(1, count=80)),
        video("part", frames(1, start=10, count=12)),
        *(video(f"other{seed}", frames(seed, count=40)) for seed in range(100, 112)),
    ]
    ranked = {c.material_id: c for c in VideoAlignment().rank(video("q", whole), candidates, NO_RECALL)}
    copies = [ranked[name] for name in ("whole", "longer", "part")]
    others = [c.score for name, c in ranked.items() if name.startswith("other")]
    assert min(c.score for c in copies) > 0.5 > max(others)
    assert [c.relation for c in copies] == ["same", "part_of", "contains"]
    (segment,) = ranked["part"].segments
    assert segment == pytest.approx((5, 11, 0, 6), abs=0.6)


@pytest.mark.parametrize("seed", range(100, 110))
def test_a_stranger_that_has_no_rival_is_still_a_stranger(seed: int) -> None:
    (only,) = VideoAlignment().rank(video("q", frames(1)), [video("x", frames(seed))], NO_RECALL)
    assert only.score < 0.3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_better_fit_never_scores_less(data: st.DataObject) -> None:
    weights, place = load_weights(), data.draw(st.sampled_from([n for n, f in enumerate(FEATURES) if f not in SIGNED]))
    row = np.array([data.draw(st.floats(-1, 1)) for _ in FEATURES])
    better = row.copy()
    better[place] += data.draw(st.floats(0, 1))
    assert probability(weights, better) >= probability(weights, row)


def test_one_candidate_each_in_order_whatever_is_missing() -> None:
    empty = Evidence(material_id="empty", kind="video")
    no_rows = video("none", np.zeros((0, 257), np.float32))
    good = video("good", frames(1))
    ranker = VideoAlignment()
    ranked = ranker.rank(good, [empty, no_rows, good], NO_RECALL)
    assert [c.material_id for c in ranked] == ["empty", "none", "good"]
    assert [c.score for c in ranked[:2]] == [0.0, 0.0]
    assert ranked[2].score > 0.5
    assert all(c.ranker == "video-alignment@3" for c in ranked)
    assert [c.score for c in ranker.rank(empty, [good], NO_RECALL)] == [0.0]
    assert ranker.rank(good, [], NO_RECALL) == []


def test_the_recall_score_is_passed_on() -> None:
    recall = Recall(hits={FEATURE: (RecallHit("a", "V1", 0.75),)})
    a, b = VideoAlignment().rank(video("q", frames(1)), [video("a", frames(1)), video("b", frames(1))], recall)
    assert a.recall_score == 0.75
    assert b.recall_score == pytest.approx(1.0, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(6)), noise=st.sampled_from([0.0, 1.0]))
def test_scores_do_not_depend_on_the_order_of_candidates(order: list[int], noise: float) -> None:
    candidates = [video(f"{n}", frames(n % 4, noise=noise), content_id=f"V{n % 3}") for n in range(6)]
    ranker, query = VideoAlignment(), video("q", frames(0, count=15))
    before = {c.material_id: c.score for c in ranker.rank(query, candidates, NO_RECALL)}
    after = {c.material_id: c.score for c in ranker.rank(query, [candidates[n] for n in order], NO_RECALL)}
    assert after == pytest.approx(before, abs=1e-6)
    assert all(0 <= score <= 1 for score in before.values())


def test_unsorted_frames_are_put_in_order() -> None:
    rows = frames(5)
    clip = clip_of(video("x", rows[::-1].copy()).features)
    assert clip is not None
    np.testing.assert_array_equal(clip.times, rows[:, 0])
    np.testing.assert_array_equal(clip.vectors, rows[:, 1:])


def test_reposts_of_one_video_are_not_each_others_background() -> None:
    query = clip_of(video("q", frames(1)).features)
    assert query is not None
    alone = backgrounds(query, [query], ["V1"], 0.3)[0]
    thrice = backgrounds(query, [query, query, query], ["V1", "V1", "V1"], 0.3)
    np.testing.assert_allclose(alone, 0.3, atol=1e-6)
    for level in thrice:
        np.testing.assert_array_equal(level, alone)


def test_what_all_candidates_share_counts_less() -> None:
    """A frame that every video has (a title card) is no evidence."""
    query = clip_of(video("q", frames(1)).features)
    assert query is not None
    clips = [query, *([query] * 9)]
    level = backgrounds(query, clips, [f"V{n}" for n in range(10)], 0.3)[0]
    assert level.min() > 0.7


def test_shipped_weights_are_of_this_code_and_say_how_they_were_fitted(tmp_path: Path) -> None:
    weights = load_weights()
    assert weights.features == FEATURES
    assert float(weights.training["cross_validated_map"]) > 0.5  # type: ignore[arg-type]
    assert 0 < weights.background < 1
    other = tmp_path / "w.json"
    other.write_bytes(WEIGHTS_FILE.read_bytes().replace(b'"motion_gap"', b'"other"'))
    with pytest.raises(ValueError, match="other"):
        load_weights(other)
