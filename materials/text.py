"""Post text as comparison sees it: without what a repost, an editor or a keyboard changes and the message survives.

`normalise` gives letters and digits only, in simplified Chinese and case-folded; `numbers` gives the facts that tell
two posts of one template apart. Both read the raw text.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

# Soft hyphen, zero-width, bidirectional and variation controls, tags: invisible, so nothing may depend on them.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U000e0000-\U000e01ef]"
)
_LINK: Final = re.compile(
    r"(?:https?://|www\.)[!-;=?-~]+|\b(?:t\.cn|url\.cn|dwz\.cn|bit\.ly|t\.co|b23\.tv|v\.douyin\.com)/[!-;=?-~]+",
    re.IGNORECASE,
)
# `//@name:` and its kin stand before a quoted post. Names have at most 30 characters. Quantifiers are possessive
# wherever what follows cannot match what they took: strangers write these texts.
_BARE_REPOST: Final = r"^\s*+(?:转发微博|轉發微博|转发|轉發|repost)(?=[:,.!~\s/。]|$)[:,.!~/。\s]*+"
_REPOST: Final = re.compile(
    r"//\s*+@[^\s:@/]{1,30}\s*+:|\bRT\s*+:?\s*+@[\w-]{1,30}+\s*+:?"
    rf"|(?:回复|回復|转自|轉自|via)\s*+@[\w-]{{1,30}}+\s*+:?|{_BARE_REPOST}",
    re.IGNORECASE,
)
_UNNAMED_REPOST: Final = re.compile(_BARE_REPOST, re.IGNORECASE)
# Platforms fold long posts, and copies keep the handle: `...全文`. Dots and spaces are never given back (`++`), and a
# match begins with the first dot: a text of 20,000 dots would else cost 20 seconds.
_FOLDED: Final = re.compile(
    r"(?<!\.)\.{2,}+\s*+(?:(?:展开|展開|阅读|閱讀)?全文|(?:read|see|show) more)\s*+$", re.IGNORECASE
)
# A mention ends at a space or a sign. Where 20 characters bring neither, name and text are glued: only the sign goes.
_MENTION: Final = re.compile(r"@[\w-]{1,20}(?![\w-])")
_TOPIC: Final = re.compile(r"#[^#\n]{1,40}#|#[\w-]{1,40}")
_STICKER: Final = re.compile(r"\[(?!\d+\])[\w ]{1,8}\]")
_MOST_MARKS: Final = 30
_NOT_LETTERS: Final = re.compile(r"[\W_]+")
_DIGITS: Final = r"\d+(?:,\d{3})*(?:\.\d+)?"
_CHINESE: Final = "[零〇一二两三四五六七八九十百千万亿]{2,}"
_NUMERAL: Final = re.compile(f"{_DIGITS}|{_CHINESE}")
_WORD: Final = re.compile("[a-z\u00df-\u024f\u0370-\u03ff\u0400-\u052f]{3,}")
_DIGIT_OF: Final = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNIT_OF: Final = {"十": 10, "百": 100, "千": 1000}
_SECTION_OF: Final = {"万": 10**4, "亿": 10**8}
_WORDS: Final = frozenset({"千万", "万一", "百万", "万千", "千百", "万万", "亿万", "一一", "三三两两"})


class Reading(msgspec.Struct, frozen=True):
    """What `normalise`, `numbers` and `alphabetic_words` make of one raw text."""

    normal: str
    numbers: list[str]
    words: list[str]


def read(text: str) -> Reading:
    """All three, for a third of the work of one after the other."""
    message = _message(text)
    apart = _without_topics(message)
    return Reading(_letters(message), _numbers(apart), _WORD.findall(apart.casefold()))


def normalise(text: str) -> str:
    """Raw text -> its letters and digits: NFKC, case-folded, simplified.

    Dropped: emoji, sticker codes (`[doge]`), mentions, links, repost prefixes (`//@name:`), the marks of hashtags, zero
    width and bidirectional controls, punctuation and space.
    """
    return _letters(_message(text))


def numbers(text: str) -> list[str]:
    """The numerals of a raw text in order, outside links, mentions and hashtags.

    Digits are kept as written, without thousands separators: `1,000` is `1000`, `3.80` stays. Chinese numerals of two
    or more signs are read: `三十五` is `35`, `二〇二六` is `2026`; words that only look like numerals are left out.
    """
    return _numbers(_without_topics(_message(text)))


def alphabetic_words(text: str) -> list[str]:
    """Words of three or more Latin, Greek or Cyrillic letters in order, case-folded; no links, mentions, topics."""
    return _WORD.findall(_without_topics(_message(text)).casefold())


def _letters(message: str) -> str:
    letters = _NOT_LETTERS.sub("", message.casefold())
    return letters if letters.isascii() else letters.translate(_simplified())


def _without_topics(message: str) -> str:
    return _TOPIC.sub(" ", message) if "#" in message else message


def _numbers(message: str) -> list[str]:
    found = []
    for match in _NUMERAL.finditer(message):
        numeral = match.group()
        read = numeral.replace(",", "") if numeral[0].isdigit() else _chinese_numeral(numeral)
        if read:
            found.append(read)
    return found


def _message(text: str) -> str:
    """What its author wrote, NFKC: without what platforms and reposters put around it.

    Most texts have few of the marks, and a look for a sign that each must have costs far less than its pattern.
    """
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", _stream_safe(text)))
    if "/" in text or "w" in text:
        text = _LINK.sub(" ", text)
    text = (_REPOST if "@" in text else _UNNAMED_REPOST).sub(" ", text)
    if ".." in text:
        text = _FOLDED.sub(" ", text)
    if "@" in text:
        text = _MENTION.sub(" ", text)
    if "[" in text:
        text = _STICKER.sub(" ", text)
    return text


def is_visible(text: str) -> bool:
    """Whether a text holds anything that is seen: neither white space nor an invisible control."""
    return not (text.isspace() or not text) and bool(_INVISIBLE.sub("", text).strip())


def _stream_safe(text: str) -> str:
    """At most 30 combining marks in a row (UAX #15, Stream-Safe Text): ordering them costs the square of their number.

    The Stream-Safe Text Process puts a joiner between them; what is compared here can do without the rest.
    """
    if len(text) <= _MOST_MARKS or unicodedata.is_normalized("NFKC", text):
        return text
    return _excess_marks().sub(r"\1", text)


@cache
def _excess_marks() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, sys.maxunicode) if unicodedata.combining(chr(code)))
    return re.compile(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+")


@cache
def _simplified() -> dict[int, int]:
    """Traditional -> simplified, by character (OpenCC's table, its first choice where there are several)."""
    table = files("opencc").joinpath("dictionary", "TSCharacters.txt").read_text(encoding="utf-8")
    pairs = (line.split("\t") for line in table.splitlines() if "\t" in line)
    return {ord(old): ord(new.split(" ")[0]) for old, new in pairs if len(old) == 1}


def _chinese_numeral(numeral: str) -> str:
    """Digits of a Chinese numeral; empty for a word and for what is not well formed enough to have a value."""
    if numeral in _WORDS:
        return ""
    if all(sign in _DIGIT_OF for sign in numeral):
        return "".join(str(_DIGIT_OF[sign]) for sign in numeral) if len(numeral) > 2 else ""
    total = section = digit = 0
    for sign in numeral:
        if sign in _DIGIT_OF:
            digit = _DIGIT_OF[sign]
        elif sign in _UNIT_OF:
            section += (digit or 1) * _UNIT_OF[sign]
            digit = 0
        else:
            total += (section + digit or 1) * _SECTION_OF[sign]
            section = digit = 0
    return str(total + section + digit)
