from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials import text as patterns
from materials.text import Reading, alphabetic_words, is_visible, normalise, numbers, read

PLAIN = "今天的电影很好看大家都去"


@pytest.mark.parametrize(
    "raw",
    [
        "今天的电影很好看，大家都去！",
        "今天的電影很好看，大家都去",
        "今天的\u200b电影\u202e很好\ufeff看大家都去",
        "今天的电影😂很好看👨‍👩‍👧[doge]大家都去[哈哈]",
        "//@小明:今天的电影很好看 //@b_c：大家都去",
        "转发微博：今天的电影很好看，大家都去",
        "RT @someone: 今天的电影很好看大家都去",
        "#今天的电影#很好看 @小明 大家都去 http://t.cn/A6x?y=1",
        "今天的电影很好看大家都去 https://weibo.com/1/2#c www.example.com/x",
        " 今 天\n的 电·影 很 好 看 大 家 都 去 ",
        "今天的电影很好看【大家都去】t.cn/A6abc",
        "今天的电影很好看，大家都去……全文",
        "今天的电影很好看，大家都去...展开全文 ",
    ],
)
def test_the_message_survives_its_wrapping(raw: str) -> None:
    assert normalise(raw) == PLAIN


def test_width_and_case() -> None:
    assert normalise("Ｆｕｌｌ ＷＩＤＴＨ ① Straße") == normalise("full width 1 STRASSE") == "fullwidth1strasse"


def test_a_mention_glued_to_text_costs_only_its_sign() -> None:
    assert normalise("@小明今天我们一起去看了那部非常好看的新电影然后吃饭回家") == (
        "小明今天我们一起去看了那部非常好看的新电影然后吃饭回家"
    )


def test_a_footnote_is_not_a_sticker() -> None:
    assert normalise("见[1]和[赞]") == "见1和"


@given(st.text())
def test_normal_form_is_letters_and_digits_and_invisible_signs_change_nothing(raw: str) -> None:
    normal = normalise(raw)
    assert all(sign.isalnum() or sign.isnumeric() for sign in normal)
    assert normalise("\u200b".join(raw)) == normalise(raw)


@given(st.text(alphabet="今天電影万一abcABC019,. "))
def test_normalising_again_changes_nothing(raw: str) -> None:
    assert normalise(normalise(raw)) == normalise(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("5月17日13时33分发生3.8级地震", ["5", "17", "13", "33", "3.8"]),
        ("１，２００人，1,234,567元", ["1200", "1234567"]),
        ("@user123 http://t.cn/99 #热门33# //@小7: 共8人", ["8"]),
        ("三十五人，二〇二六年，一百零三，两千万", ["35", "2026", "103", "20000000"]),
        ("十五万三千", ["153000"]),
        ("一个人千万别去，万一", []),
        ("十二", ["12"]),
        ("4\u200b2", ["42"]),
        ("", []),
    ],
)
def test_numbers(raw: str, expected: list[str]) -> None:
    assert numbers(raw) == expected


def test_alphabetic_words() -> None:
    assert alphabetic_words("The Café's 3rd ОПЕРА，在ok的café @someone #tag http://t.cn/abc") == [
        "the", "café", "опера", "café",
    ]  # fmt: skip


@given(st.text(alphabet="零〇一二三两十百千万亿1,.@# "))
def test_numbers_are_digits(raw: str) -> None:
    assert all(number.replace(".", "", 1).isdigit() for number in numbers(raw))


@pytest.mark.parametrize("piece", ["@", "//@a", "[", "#a", "http://", "1,", "万", "a@b", "\u200b", "转发 "])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    began = time.process_time()
    raw = piece * (20_000 // len(piece))
    normalise(raw)
    numbers(raw)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("tail", ["", "。", "全文", " read more"])
@pytest.mark.parametrize("flood", [".", "RT ", "RT\u00a0", ". ", "//", "a\u0323\u0301", "\u0323\u0301", "转发", "全文"])
def test_floods_cost_no_more_than_texts(flood: str, tail: str) -> None:
    """20,000 dots once cost 20 seconds, and 20,000 alternating marks a third of one."""
    begun = time.process_time()
    normalise((flood * 20_000)[:20_000] + tail)
    normalise(flood + " " * 20_000 + tail)
    assert time.process_time() - begun < 1


def test_marks_beyond_thirty_in_a_row_are_dropped() -> None:
    assert normalise("Zoe\u0308 " + "x" * 40) == "zoë" + "x" * 40
    assert normalise("a" + "\u0323" * 5000) == normalise("a" + "\u0323" * 30)


def test_a_text_of_controls_alone_is_not_visible() -> None:
    assert not any(map(is_visible, ["", " \n", "\u200b", "\u202e\u2066", "\ufeff \u3164"]))
    assert all(map(is_visible, ["a", "\u200b\U0001f642", "\u202e."]))


SIGNS = (
    "转发|转发微博|repost|RT|回复|via|@a|@小明|//|:|：| |...|..|…|全文|show more|#好|#|[doge]|1,000|三十五|ｆｕｌｌ"
    "|\u200b|\u00ad|word|词|。|/|."
)
TEXTS = st.lists(st.sampled_from(SIGNS.split("|")), max_size=12).map("".join)


@given(TEXTS)
def test_signs_that_are_looked_for_first_change_nothing(text: str) -> None:
    """The patterns alone, one after the other, without a look for a sign that a match must have."""
    plain = patterns._INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    for pattern in (patterns._LINK, patterns._REPOST, patterns._FOLDED, patterns._MENTION, patterns._STICKER):
        plain = pattern.sub(" ", plain)
    assert patterns._message(text) == plain


@given(TEXTS)
def test_read_is_the_three_at_once(text: str) -> None:
    assert read(text) == Reading(normalise(text), numbers(text), alphabetic_words(text))
