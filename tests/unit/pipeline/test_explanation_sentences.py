"""Sentences of explanations: from evidence that is made here, each kind of verdict, and no claim without a figure."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.content_ids import splits_told
from pipeline.explain.frame_geometry import overlap
from pipeline.explain.page import page
from pipeline.explain.pictures import image_pair, png, stacked
from pipeline.explain.sentences import figures, sentences
from pipeline.explain.text_difference import difference
from vector_index.content.explanation import Explanation, Judged, Said, Side, Step
from vector_index.content.records import History, HistoryEntry
from vector_index.ranking.image_explanation import decomposed


def side(name: str, content_id: str = "feed-x", kind: Any = "image", **more: Any) -> Side:
    return Side(material_id=name, state=more.pop("state", "stored"), kind=kind, content_id=content_id, **more)


def judged(score: float = 0.99, rank: int = 1, **more: Any) -> Judged:
    evidence = more.pop("evidence", {"matches": 40, "inliers": 2, "keypoints": [190, 180], "cosine": 0.41})
    relation = more.pop("relation", "same")
    return Judged(
        query="B", reference="A", score=score, relation=relation, ranker="r@1", recall_score=0.4, rank=rank,
        evidence=evidence,
    )  # fmt: skip


def explanation(**more: Any) -> Explanation:
    defaults: dict[str, Any] = {"one": side("A", role="centre"), "other": side("B"), "policy": "feed", "same": True}
    return Explanation(**(defaults | {"needed": 0.8, "needed_member": 0.9, "judged": judged()} | more))


def mapped(angle: float, scale: float, mirrored: bool, shift: tuple[float, float]) -> list[list[float]]:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * scale
    if mirrored:
        turn = turn @ np.diag([-1.0, 1.0])
    return np.column_stack([turn, shift]).tolist()


@given(st.floats(-170, 170), st.floats(0.2, 4), st.booleans())
def test_a_map_is_taken_apart_into_turn_and_scale(degrees: float, scale: float, mirrored: bool) -> None:
    found_scale, found = decomposed(np.array(mapped(math.radians(-degrees), scale, mirrored, (0, 0))))
    assert found_scale == pytest.approx(scale, rel=1e-6)
    assert found == pytest.approx(degrees, abs=1e-6)


def test_crops_and_frames_are_told_by_area() -> None:
    points = [[0.1, 0.1, 0.1, 0.1], [0.9, 0.7, 0.9, 0.7]]
    cropped = overlap({"map": mapped(0, 1.25, False, (-0.125, -0.125)), "points": points}, (400, 400), (400, 400))
    assert cropped is not None
    assert cropped.kept == pytest.approx(0.64, abs=0.01)
    assert cropped.filled == pytest.approx(1.0, abs=0.01)
    framed = overlap({"map": mapped(0, 0.5, False, (0.25, 0.25)), "points": points}, (400, 400), (400, 400))
    assert framed is not None
    assert (framed.kept, framed.filled) == (pytest.approx(1.0, abs=0.01), pytest.approx(0.25, abs=0.01))
    assert overlap({"inliers": 0}, None, None) is None


def test_what_was_done_to_a_picture() -> None:
    evidence = {
        "matches": 142, "inliers": 63, "mirrored": True, "rotation": 4.2, "scale": 1.2, "cosine": 0.9,
        "map": mapped(0, 1.25, False, (-0.125, -0.125)), "points": [[0.1, 0.1, 0.2, 0.2], [0.9, 0.9, 0.8, 0.8]],
    }  # fmt: skip
    told = sentences(explanation(judged=judged(0.994, evidence=evidence)), {"A": (400, 400), "B": (400, 400)})
    assert told[0] == "Same picture: A and B share content ID feed-x."
    assert told[1:] == ["B is A mirrored, turned by 4 degrees to the left and cropped by about 35 %."]
    measured = figures(explanation(judged=judged(0.994, evidence=evidence)))
    assert measured[0] == "Score 0.994, needed 0.80 under policy feed."
    assert measured[1].startswith(
        "63 of 142 pairs of keypoints that look alike agree under one rotation by 4.2 degrees"
    )


def test_a_caption_is_not_called_other_colours() -> None:
    whole = mapped(0, 1.0, False, (0.0, 0.0))
    points = [[0.02, 0.02, 0.02, 0.02], [0.98, 0.98, 0.98, 0.98]]
    evidence = {
        "matches": 90,
        "inliers": 70,
        "map": whole,
        "points": points,
        "pdq": 60,
        "pdq_turned": 60,
        "cosine": 0.9,
    }
    told = sentences(explanation(judged=judged(evidence=evidence)), {"A": (400, 400), "B": (400, 400)})
    assert told[1].startswith("B is A, neither turned nor cut; what differs may be its colours or size, or something")
    assert "written or drawn on it" in told[1]


def test_no_sentence_holds_what_was_measured() -> None:
    clip = {
        "seconds": [4.0, 30.0], "speed": 1.0, "segment": [0.0, 4.0, 3.0, 7.0], "cover": [1.0, 0.2],
        "cosine": 0.93, "usual_cosine": 0.3, "motion": 0.9, "frames": 8,
    }  # fmt: skip
    kinds: dict[str, dict[str, Any]] = {"image": {}, "video": clip, "post": {"texts": 0.97}}
    for kind, evidence in kinds.items():
        sides = {"one": side("A", kind=kind, text="one"), "other": side("B", kind=kind, text="two")}
        pair = explanation(**sides, judged=judged(evidence=evidence) if evidence else judged())
        told, measured = " ".join(sentences(pair)), " ".join(figures(pair))
        for word in ("Score", "cosine", "keypoints", "probability", "bits"):
            assert word not in told
        assert "Score 0.990" in measured
    assert figures(explanation(judged=None, other=side("B", kind="video"), same=False)) == []


def test_a_third_joins_two_that_are_not_near_each_other() -> None:
    path = [Step(material_id="A", other="C", score=0.93), Step(material_id="B", other="C", score=0.88)]
    told = sentences(explanation(judged=judged(0.41, rank=0), path=path))
    assert "A search for B does not even find A." in figures(explanation(judged=judged(0.41, rank=0), path=path))[0]
    assert told[2] == "They share it by way of others: A matched C with 0.930; B matched C with 0.880."


def test_a_persons_word_comes_before_the_figures() -> None:
    said = Said(one="A", other="B", verdict="different", who="anna", why="two matches", at=0.0, direct=True)
    told = sentences(explanation(same=False, other=side("B", "feed-y"), verdicts=[said]))
    assert told[0] == "Not the same picture: A has content ID feed-x, B has feed-y."
    assert told[1] == ("anna declared A and B different on 1970-01-01 (“two matches”); that wins over every score.")
    assert told[-1] == "By the score alone they would share one; a person's word wins."


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"other": side("B", state="deleted", decided_as="feed-x"), "judged": None}, "B was deleted"),
        ({"other": side("B", state="unknown", kind=None), "judged": None}, "B is unknown"),
        ({"other": side("B", state="other_policy", policies=["copyright"]), "judged": None}, "only under copyright"),
        ({"other": side("B", "feed-y", "video"), "same": False, "judged": None}, "A is an image and B a video"),
        ({"other": side("B", "feed-y"), "same": False, "judged": judged(0.2)}, "No part of B was found in A"),
        ({"other": side("B", "feed-y"), "same": False, "one": side("A", role="member")}, "only a member"),
        (
            {"other": side("B", "feed-y"), "same": False, "one": side("A", role="exemplar"), "judged": judged(0.85)},
            "0.90 is needed",
        ),
        (
            {"other": side("B", "feed-y"), "same": False, "split": "feed-y was split off feed-x by a person"},
            "would do, but",
        ),
        (
            {
                "other": side("B", "feed-y"),
                "same": False,
                "split": "feed-y was split off feed-x",
                "judged": judged(0.2),
            },
            "Nor would the score do, and feed-y was split off feed-x",
        ),
        ({"other": side("B", "feed-y"), "same": False}, "merge --scan"),
    ],
)
def test_every_reason_why_not_is_told(more: dict[str, Any], words: str) -> None:
    assert words in " ".join(sentences(explanation(**more)))


def test_a_part_of_a_video_is_no_sameness() -> None:
    evidence = {
        "seconds": [4.0, 30.0], "speed": 1.5, "offset": 3.0, "segment": [0.0, 4.0, 3.0, 9.0], "cover": [1.0, 0.2],
        "cosine": 0.93, "usual_cosine": 0.3, "motion": 0.9, "frames": 8,
    }  # fmt: skip
    two = {"one": side("A", kind="video"), "other": side("B", "feed-y", "video"), "same": False}
    told = sentences(explanation(**two, judged=judged(0.97, relation="part_of", evidence=evidence)))
    assert told[1].startswith(
        "B is a part of A: seconds 0.0 to 4.0 of B show seconds 3.0 to 9.0 of A, played at 1.5 times the speed."
    )


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_difference_weaves_both_texts(first: str, second: str) -> None:
    runs = difference(first, second).runs
    assert "".join(run.text for run in runs if run.kind != "only_second") == first
    assert "".join(run.text for run in runs if run.kind != "only_first") == second


def test_differing_numbers_are_named() -> None:
    found = difference("7.1级地震，23人受伤", "5.8级地震，4人受伤")
    assert found.numbers == (["7.1", "23"], ["5.8", "4"])
    assert ("7.1", "5.8") in found.replaced


def test_a_page_escapes_whatever_a_material_says() -> None:
    evil = "<script>alert(1)</script>"
    posts = {"one": side("A", kind="post", text=evil), "other": side("B", kind="post", text=evil + "!")}
    found = explanation(**posts, judged=judged(evidence={"media": [0, 0, 0], "texts": 0.99}))
    html = page(found, sentences(found), [], ["no picture of <A>"])
    assert "<script" not in html
    assert "no picture of &lt;A&gt;" in html


def test_a_picture_of_two_pictures_of_other_shapes() -> None:
    evidence = {"map": mapped(0.1, 0.9, False, (0.0, 0.1)), "points": [[0.5, 0.5, 0.4, 0.4]] * 3, "inliers": 3}
    tall, wide = np.zeros((300, 100, 3), np.uint8), np.full((90, 400, 3), 255, np.uint8)
    drawn = image_pair(judged(evidence=evidence), tall, wide)
    assert drawn.shape[0] == 450
    assert png(stacked([drawn, drawn]))[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "copy", ["OUR BAKERY IN THE OLD TOWN OPENS AT SIX!", "Our bakery in the old town opens at six."]
)
def test_equal_texts_are_not_called_other_texts(copy: str) -> None:
    one = msgspec.structs.replace(side("A", kind="post"), text="Our bakery in the old town opens at six")
    other = msgspec.structs.replace(side("B", kind="post"), text=copy)
    told = sentences(explanation(one=one, other=other, judged=judged(0.995, evidence={"texts": 0.995})))
    assert told[1].startswith(("Their texts are the same but for capitals", "Their texts differ in signs only"))


def test_a_split_has_its_sentence_in_a_history() -> None:
    split = HistoryEntry(
        what="split", content_id="feed-x", other="feed-y", material_id="P7", at=0.0, who="anna", why="another match",
        details={"members": ["P7", "P9"], "count": 3},
    )  # fmt: skip
    joined = HistoryEntry(what="joined", content_id="feed-x", material_id="P7", other="P1", score=0.9)
    found = History(content_id="feed-x", canonical="feed-x", policy="feed", kind="image", entries=[joined, split])
    assert splits_told(found) == [
        "anna took P7, P9 and 1 more out of feed-x on 1970-01-01 (“another match”); they went to feed-y."
    ]
