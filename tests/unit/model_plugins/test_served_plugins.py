"""What the plug-ins of served models make of pictures, sound and answers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from materials.errors import Permanent
from model_plugins.builtin import image_faces, image_ocr, video_sound_events
from model_plugins.builtin.image_faces import ImageFaces
from model_plugins.builtin.image_ocr import ImageOcr
from model_plugins.builtin.image_tags import ImageTags
from model_plugins.builtin.sample_sound import chord, clip
from model_plugins.builtin.video_sound_events import VideoSoundEvents
from model_plugins.builtin.video_speech import VideoSpeech
from model_plugins.features import json_feature, sound_windows
from model_plugins.features.imagenet import class_names
from model_plugins.protocol import SOUND_RATE, ImageMedia


def rows(*faces: tuple[float, float, float, float, float]) -> NDArray[np.float32]:
    """Boxes and scores -> the model's form, landmarks in the middle of each box."""
    made = np.zeros((1, 100, 15), np.float32)
    for row, (x0, y0, x1, y1, score) in zip(made[0], faces, strict=False):
        row[:5] = x0, y0, x1, y1, score
        row[5::2], row[6::2] = (x0 + x1) / 2, (y0 + y1) / 2
    return made


def test_faces_lose_overlaps_and_doubts_and_are_measured_in_the_picture() -> None:
    answer = rows((0.1, 0.1, 0.2, 0.2, 0.8), (0.11, 0.1, 0.21, 0.2, 0.9), (0.3, 0.2, 0.4, 0.3, 0.6), (0, 0, 1, 1, 0.4))
    filled = np.array([[1.0, 0.5]], np.float32)  # a picture twice as wide as it is high
    found = ImageFaces().interpret({"faces": answer, "filled": filled}).array()
    assert found.shape == (2, 15)
    np.testing.assert_allclose(found[0, :5], [0.11, 0.2, 0.21, 0.4, 0.9], atol=1e-6)
    np.testing.assert_allclose(found[1, 5:7], [0.35, 0.5], atol=1e-6)


def test_no_face_is_an_empty_array_and_not_a_number_is_refused() -> None:
    filled = np.ones((1, 2), np.float32)
    assert ImageFaces().interpret({"faces": rows(), "filled": filled}).array().shape == (0, 15)
    with pytest.raises(Permanent, match="not-a-numbers"):
        ImageFaces().interpret({"faces": np.full((1, 100, 15), np.nan, np.float32), "filled": filled})


@given(st.integers(1, 900), st.integers(1, 900))
@settings(deadline=None, max_examples=30)
def test_a_picture_of_any_form_fits_the_square(height: int, width: int) -> None:
    square, filled = image_faces.fit(np.full((height, width, 3), 200, np.uint8))
    h, w = (round(float(share) * 640) for share in filled[::-1])
    assert square.shape == (640, 640, 3)
    assert (square[:h, :w] == 200).all()
    assert not square[h:].any()
    assert not square[:, w:].any()
    assert max(h, w) == 640 or max(h, w) == 2 * max(height, width)


def test_tags_are_named_best_first_without_the_unlikely() -> None:
    row = np.full((1, 1000), 0.1 / 997, np.float32)
    row[0, [281, 282, 504]] = 0.5, 0.36, 0.04
    value = json_feature.unpack(ImageTags().interpret({"probabilities": row}))
    assert [(each["tag"], each["class"]) for each in value] == [("tabby cat", 281), (class_names()[282], 282)]
    assert value[0]["score"] == pytest.approx(0.5)
    with pytest.raises(Permanent, match="sum to one"):
        ImageTags().interpret({"probabilities": row * 2})


def test_there_are_a_thousand_different_class_names() -> None:
    names = class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[88], names[388], names[999]) == ("tench", "macaw", "giant panda", "toilet paper")


def ocr_answer(lines: list[str], width: int, height: int) -> dict[str, NDArray[Any]]:
    """A model's answer with each line in a box of the whole picture."""
    encoded = [line.encode() for line in lines]
    text = np.zeros((1, len(lines), max(1, *map(len, encoded))), np.uint8)
    for row, line in zip(text[0], encoded, strict=True):
        row[: len(line)] = np.frombuffer(line, np.uint8)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return {
        "boxes": np.tile(corners, (1, len(lines), 1, 1)),
        "scores": np.full((1, len(lines)), 0.9, np.float32),
        "text": text,
        "size": np.array([[width, height]], np.float32),
    }


def test_lines_of_text_keep_their_order_script_and_place() -> None:
    value = json_feature.unpack(
        ImageOcr().interpret(ocr_answer(["今天天气真好", "Sale \u0007 50 %", "\u200b"], 640, 360))
    )
    assert value["text"] == "今天天气真好\nSale  50 %"
    assert [line["text"] for line in value["lines"]] == ["今天天气真好", "Sale  50 %"]
    assert value["lines"][0]["box"] == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_a_wall_of_text_is_cut_and_not_refused() -> None:
    value = json_feature.unpack(ImageOcr().interpret(ocr_answer(["字" * 300] * 200, 640, 360)))
    assert 0 < len(value["lines"]) < 200
    assert len(value["text"].encode()) <= image_ocr.MOST_BYTES + 200


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_any_text_can_be_packed(lines: list[str]) -> None:
    encodable = [line.encode("utf-8", "replace").decode() for line in lines]
    json_feature.unpack(ImageOcr().interpret(ocr_answer(encodable, 10, 10)))


def test_outputs_that_do_not_belong_together_are_refused() -> None:
    answer = ocr_answer(["one", "two"], 10, 10)
    with pytest.raises(Permanent, match="scores"):
        ImageOcr().interpret({**answer, "scores": answer["scores"][:, :1]})


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [(2000, 4000, (640, 1280)), (191, 384, (382, 768)), (500, 800, (600, 960)), (720, 1280, (720, 1280))],
)
def test_small_writing_is_enlarged_and_large_pictures_are_not_sent(
    height: int, width: int, seen: tuple[int, int]
) -> None:
    tensors = ImageOcr().prepare(ImageMedia(np.zeros((height, width, 3), np.uint8), width, height))
    assert tensors is not None
    assert tensors["image"].shape == (1, *seen, 3)


def test_a_line_of_pixels_holds_no_text() -> None:
    assert ImageOcr().prepare(ImageMedia(np.zeros((3, 900, 3), np.uint8), 900, 3)) is None


def test_sound_is_cut_where_it_is_quiet() -> None:
    sound = chord(70)
    pause = slice(27 * SOUND_RATE, 27 * SOUND_RATE + SOUND_RATE // 2)
    sound[pause] = 0
    tensors = sound_windows.cut(sound)
    assert tensors is not None
    assert tensors["sound"].shape == (3, sound_windows.WINDOW)
    begin, end = tensors["spans"][0]
    assert begin == 0
    assert 27 <= end <= 27.5
    np.testing.assert_array_equal(tensors["spans"][1:, 0], tensors["spans"][:-1, 1])
    assert tensors["spans"][-1, 1] == 70
    length = round((end - begin) * SOUND_RATE)
    assert not tensors["sound"][0, length:].any()
    np.testing.assert_allclose(tensors["sound"][0, :length] / 32767, sound[:length], atol=1e-4)


@pytest.mark.parametrize("sound", [None, np.zeros(0, np.float32), np.zeros(99_999, np.float32), chord(0.05)])
def test_silence_is_no_sound(sound: NDArray[np.float32] | None) -> None:
    assert sound_windows.cut(sound) is None
    assert VideoSpeech().prepare(clip(sound, 1)) is None


def test_only_ten_minutes_are_heard() -> None:
    tensors = sound_windows.cut(np.tile(chord(60), 12))
    assert tensors is not None
    assert len(tensors["sound"]) == 20
    assert 500 <= tensors["spans"][-1, 1] <= 600


def test_segments_of_all_windows_make_one_transcript() -> None:
    segments, text = np.zeros((2, 32, 4), np.float32), np.zeros((2, 4096), np.uint8)
    for window, (words, score) in enumerate([("Hello there.", -0.1), ("Good bye.", -0.2)]):
        data = words.encode()
        segments[window, 0] = 1, 2.5, score, len(data)
        text[window, : len(data)] = np.frombuffer(data, np.uint8)
    noise = b"you"
    segments[1, 1] = 3, 4, -3, len(noise)
    text[1, 9:12] = np.frombuffer(noise, np.uint8)
    spans = np.array([[0, 28.0], [28.0, 31.0]])
    value = json_feature.unpack(VideoSpeech().interpret({"segments": segments, "text": text, "spans": spans}))
    assert value["text"] == "Hello there. Good bye."
    assert value["heard_s"] == 31
    assert [(each["begin"], each["end"]) for each in value["segments"]] == [(1, 2.5), (29, 30.5)]


def test_activity_becomes_events_and_shares() -> None:
    activity = np.zeros((2, 300, 3), np.float32)
    activity[0, 10:100, 0] = 1  # speech from 1 s to 10 s, with a breath
    activity[0, 50:52, 0] = 0
    activity[0, 200:202, 2] = 1  # music for a moment: too short
    activity[1, :50, 2] = 0.9
    spans = np.array([[0, 30.0], [30.0, 40.0]])
    value = json_feature.unpack(VideoSoundEvents().interpret({"activity": activity, "spans": spans}))
    assert value["events"] == [
        {"kind": "speech", "begin": 1, "end": 10},
        {"kind": "music", "begin": 30, "end": 35},
    ]
    assert value["shares"] == {"speech": 0.225, "singing": 0, "music": 0.125}
    assert value["heard_s"] == 40


@given(st.lists(st.floats(0, 1, width=32), max_size=80))
@settings(deadline=None, max_examples=60)
def test_events_are_ordered_apart_and_long_enough(column: list[float]) -> None:
    events = video_sound_events.events_of(np.array(column, np.float32))
    edges = [edge for event in events for edge in event]
    assert edges == sorted(edges)
    assert all(end - begin >= 0.3 - 1e-9 for begin, end in events)
    assert all(later[0] - earlier[1] > 0.3 for earlier, later in pairwise(events))
