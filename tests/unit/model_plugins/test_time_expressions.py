"""Date expressions and what they make of a text. The sentences are our own; the benchmark uses others."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_plugins.builtin.text_timeliness import TextTimeliness
from model_plugins.features.time_expressions import find
from model_plugins.protocol import TextMedia


@pytest.mark.parametrize(
    ("text", "expression", "value"),
    [
        ("会议于１９９８年１月１０日召开。", "１９９８年１月１０日", "1998-01-10"),
        ("一九九七年十二月三十一日，北京。", "一九九七年十二月三十一日", "1997-12-31"),
        ("2024年的春天", "2024年", "2024"),
        ("将在5月1日开放", "5月1日", "--05-01"),
        ("released on 2024-03-05 worldwide", "2024-03-05", "2024-03-05"),
        ("signed on 25 March 1957 in Rome", "25 March 1957", "1957-03-25"),
        ("They met on March 3rd, 2011.", "March 3rd, 2011", "2011-03-03"),
        ("It began in 1789 in France.", "1789", "1789"),
        ("music of the 1960s", "1960s", ""),
        ("since June 2016 the shop is closed", "June 2016", "2016-06"),
    ],
)
def test_dates_are_found_with_their_values(text: str, expression: str, value: str) -> None:
    found = {each.text: each.value for each in find(text)}
    assert expression in found, found
    assert found[expression] == value


@pytest.mark.parametrize(
    "text",
    [
        "He may march on, and they march with him in the marches.",
        "1998 people live there; the road is 2004 km long.",
        "《光明日报》发表社论。",
        "他体现在行动中。",
        "Version 12.03.4 of 3 May apples",
        "我今后还会努力，平日里也是。",
    ],
)
def test_what_only_looks_like_a_date_is_not_strong(text: str) -> None:
    assert TextTimeliness().describe(TextMedia(text))["timeliness"] in ("timeless", "dated")
    assert not [each for each in find(text) if each.kind == "deictic" and each.strength > 0.6]


LABELLED = [
    ("刚刚，高速公路发生连环追尾，救护车正在赶来。", "now"),
    ("突发：地铁二号线因故障停运。", "now"),
    ("今天下午我们在公园见面吧", "now"),
    ("昨晚的比赛太精彩了！", "now"),
    ("目前油价仍在上涨。", "now"),
    ("BREAKING: fire at the harbour, roads closed", "now"),
    ("We're live tonight, come and watch!", "now"),
    ("See you tomorrow at the station", "now"),
    ("The minister will speak on Thursday.", "now"),
    ("Doors open at 7:30 pm.", "now"),
    ("1949年10月1日，中华人民共和国成立。", "dated"),
    ("公司于2015年在深圳创办。", "dated"),
    ("１月２３日，代表团抵达广州。", "dated"),
    ("The Berlin Wall fell on 9 November 1989.", "dated"),
    ("Born in 1879, he moved to Zurich in his teens.", "dated"),
    ("The rules were changed in March 2011.", "dated"),
    ("水在一百摄氏度时沸腾。", "timeless"),
    ("番茄炒蛋要先炒蛋再放番茄。", "timeless"),
    ("学而时习之，不亦说乎。", "timeless"),
    ("A good knife is a sharp knife.", "timeless"),
    ("Cats sleep for most of the day.", "timeless"),
    ("Boil the pasta for nine minutes and keep some of the water.", "timeless"),
    ("猫喜欢睡在暖和的地方。", "timeless"),
    ("Honesty is the best policy.", "timeless"),
]


def test_timeliness_of_labelled_sentences() -> None:
    plugin = TextTimeliness()
    wrong = [(text, label) for text, label in LABELLED if plugin.describe(TextMedia(text))["timeliness"] != label]
    assert len(wrong) <= 2, wrong


@given(st.text(st.sampled_from("年月日号0123456789一二十〇今天昨前周上午点:-/., JanMayonthe19２０"), max_size=60))
def test_places_are_places_of_the_text_and_do_not_overlap(text: str) -> None:
    found = find(text)
    assert all(text[each.start : each.end] == each.text for each in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
