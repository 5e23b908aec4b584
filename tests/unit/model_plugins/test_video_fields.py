"""The fusion of a video's field: sides that are silent, sides that contradict, and what belongs to whom."""

from __future__ import annotations

import numpy as np
import pytest

from materials.errors import Permanent
from materials.records import Feature
from model_plugins.builtin.video_category import VideoCategory
from model_plugins.builtin.video_tags import FRAMES, VideoTags, spread
from model_plugins.features import json_feature, video_fields
from model_plugins.features.imagenet import CLASSES, class_names
from model_plugins.features.topics import FIELDS

POLITICS = "The prime minister won the vote in parliament before the general election."
CAR = json_feature.pack("tags", [{"tag": "sports car", "class": 817, "score": 0.8, "share": 1.0}])


def of(features: dict[str, Feature], text: str = "") -> dict[str, object]:
    feature = VideoCategory().fuse(features, text)
    assert feature is not None
    value: dict[str, object] = json_feature.unpack(feature)
    return value


def test_each_side_speaks_alone() -> None:
    assert of({"video-tags": CAR})["category"] == "autos"
    assert of({"video-tags": CAR})["sides"] == ["frames"]
    speech = json_feature.pack("transcript", {"text": POLITICS})
    assert of({"video-speech": speech})["category"] == "politics"
    assert VideoCategory().fuse({}, "") is None
    assert VideoCategory().fuse({"video-speech": json_feature.pack("transcript", {"text": ""})}, "ok") is None


def test_silence_changes_nothing() -> None:
    silent = json_feature.pack("transcript", {"text": "", "segments": []})
    assert of({"video-tags": CAR, "video-speech": silent}) == of({"video-tags": CAR})


def test_agreement_makes_surer_and_contradiction_less_sure() -> None:
    alone = video_fields.frame_shares(
        video_fields.group_row(json_feature.unpack(CAR)), video_fields.fitted().frames
    ).max()
    agreeing = of({"video-tags": CAR}, "He drives the car with the new engine and the brakes of his old car.")
    assert agreeing["category"] == "autos"
    assert float(str(agreeing["score"])) > alone
    assert float(str(of({"video-tags": CAR}, POLITICS)["score"])) < float(str(agreeing["score"]))


def test_features_of_another_shape_are_refused() -> None:
    for wrong in ({"a": 1}, ["car"], [{"tag": "car"}]):
        with pytest.raises(Permanent, match="video-tags"):
            of({"video-tags": json_feature.pack("tags", wrong)})
    with pytest.raises(Permanent, match="video-speech"):
        of({"video-speech": json_feature.pack("transcript", [])})


def test_every_field_can_win_and_the_shares_are_shares() -> None:
    fusion = video_fields.fitted()
    for place in range(len(FIELDS)):
        sure = np.full(len(FIELDS), 0.01)
        sure[place] = 1 - 0.01 * (len(FIELDS) - 1)
        shares = video_fields.fuse({"frames": sure, "speech": sure, "text": sure}, fusion)
        assert int(shares.argmax()) == place
        assert shares.sum() == pytest.approx(1)


def test_tags_are_means_over_the_frames() -> None:
    rows = np.zeros((4, CLASSES), np.float32)
    rows[:, 7] = [0.9, 0.9, 0.0, 0.0]
    rows[:, 8] = [0.1, 0.1, 1.0, 0.97]
    rows[3, 9] = 0.03
    found = json_feature.unpack(VideoTags().interpret({"probabilities": rows}))
    names = class_names()
    assert found == [
        {"tag": names[8], "class": 8, "score": 0.5425, "share": 1.0},
        {"tag": names[7], "class": 7, "score": 0.45, "share": 0.5},
    ]


def test_frames_are_spread_over_what_can_be_seen() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    frames[:10] = 0
    places = spread(frames)
    assert len(places) == FRAMES
    assert places[0] == 10
    assert places[-1] == 39
    assert len(spread(np.zeros((3, 8, 8, 3), np.uint8))) == 3
