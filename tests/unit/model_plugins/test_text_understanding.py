"""Words, language and field of texts: sentences with one right answer."""

from __future__ import annotations

import pytest

from model_plugins.builtin.text_category import TextCategory
from model_plugins.builtin.text_language import TextLanguage
from model_plugins.builtin.text_words import TextWords, cut
from model_plugins.protocol import TextMedia

LANGUAGES = [
    ("我今天很高兴", "zh"),
    ("这部電影真的很好看", "zh"),
    ("今日は天気がいいですね", "ja"),
    ("오늘 날씨가 참 좋네요", "ko"),
    ("Where is the nearest train station?", "en"),
    ("Wo ist der nächste Bahnhof, bitte?", "de"),
    ("Où est la gare la plus proche ?", "fr"),
    ("¿Dónde está la estación de tren?", "es"),
    ("Где находится ближайший вокзал?", "ru"),
    ("อากาศวันนี้ดีมาก", "th"),
    ("RT @someone: the weather is lovely today https://t.co/abc", "en"),
    ("北京 iPhone 发布会 现场直播", "zh"),
]
FIELDS = [
    ("The midfielder was injured in training and will miss the cup final against Arsenal.", "sports"),
    ("Shares fell after the bank reported lower quarterly profits.", "business"),
    ("The prime minister faced questions in parliament over the election campaign.", "politics"),
    ("The film won the Oscar for best director and best actress.", "entertainment"),
    ("The new software lets users encrypt files on their computer.", "technology"),
    ("Doctors say patients with the disease respond to the new treatment.", "health"),
    ("The engine needs oil and the brakes of the car squeak when I drive.", "autos"),
    ("中国队在决赛中战胜对手，夺得世界杯冠军，教练和队员激动不已。", "sports"),
    ("央行宣布下调利率，股市应声上涨，银行贷款增加。", "business"),
    ("两国总统举行会谈，就双边关系和地区和平交换意见。", "politics"),
    ("这部电影的导演和演员出席了晚会，观众反应热烈。", "entertainment"),
    ("科学家研制出新型卫星通信技术，计算机网络速度大幅提高。", "technology"),
]


def test_language_of_short_texts() -> None:
    plugin = TextLanguage()
    wrong = [(text, code) for text, code in LANGUAGES if plugin.describe(TextMedia(text))["language"] != code]
    assert len(wrong) <= 1, wrong


def test_field_of_short_texts() -> None:
    plugin = TextCategory()
    wrong = [(text, field) for text, field in FIELDS if plugin.describe(TextMedia(text))["category"] != field]
    assert len(wrong) <= 2, wrong


def test_what_says_little_has_no_field_or_another() -> None:
    assert TextCategory().describe(TextMedia("嗯")) is None
    assert TextCategory().describe(TextMedia("https://t.co/abcdef @someone")) is None
    unsure = TextCategory().describe(TextMedia("purple dragons whisper gently"))
    assert unsure is None or unsure["category"] == "other" or unsure["score"] < 0.8


@pytest.mark.parametrize("text", ["", "abc 中文,混排!  ", "我来到北京清华大学", "emoji 🎉 and\nlines"])
def test_the_pieces_join_to_the_text(text: str) -> None:
    assert "".join(cut(text)) == text


def test_words_and_keywords() -> None:
    value = TextWords().describe(TextMedia("我来到北京清华大学，清华大学的图书馆很大。https://example.com/清华"))
    assert value["words"][:3] == ["我", "来到", "北京"]
    assert "清华大学" in value["words"]
    assert not any("http" in word or "，" in word for word in value["words"])
    assert value["keywords"][0]["word"] == "清华大学"
    assert sum(row["weight"] for row in value["keywords"]) == pytest.approx(1, abs=0.01)
    assert not {"我", "的", "很"} & {row["word"] for row in value["keywords"]}
    long = TextWords().describe(TextMedia("词语 " * 5_000))
    assert long["truncated"]
    assert len(long["words"]) == 1_000
