"""Date and time expressions in Chinese and English text, found by rules.

Each expression says how firmly it ties its sentence to a moment: `deictic` ones (today, 刚刚, breaking) to the moment
of posting, `calendar` ones (1998年1月10日, in 2004) to a date that stays what it is. Strengths are judgements, tried on
the labelled sentences of `benchmarks/understanding`; a recipe in the manner of SUTime and HeidelTime, much smaller.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

import msgspec

Kind = Literal["deictic", "date", "year", "clock"]

_MONTHS: Final = "January|February|March|April|May|June|July|August|September|October|November|December"
_SHORT: Final = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
_WEEKDAYS: Final = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_ORDINAL: Final = r"\d{1,2}(?:st|nd|rd|th)?"
_SIGNS: Final = "〇零一二三四五六七八九十廿"
_DAY: Final = rf"(?:[0-3]?\d|[{_SIGNS}]{{1,3}})"
_MONTH: Final = rf"(?:1[0-2]|0?[1-9]|[{_SIGNS}]{{1,2}})"
_YEAR: Final = r"(?:1[5-9]\d\d|20\d\d)"


class Expression(msgspec.Struct, frozen=True, kw_only=True):
    """`start`, `end`: characters of the raw text. `value`: ISO 8601, `--MM-DD` without a year; empty: not a fixed date.

    `strength`: 0..1, how firmly it ties the text to that time.
    """

    text: str
    start: int
    end: int
    kind: Kind
    strength: float
    value: str = ""


class _Rule(msgspec.Struct, frozen=True):
    kind: Kind
    strength: float
    pattern: re.Pattern[str]


def _rule(kind: Kind, strength: float, pattern: str, flags: int = 0) -> _Rule:
    return _Rule(kind, strength, re.compile(pattern, flags))


_I: Final = re.IGNORECASE
_AFTER: Final = r"(?:(?<=\b[Ii]n )|(?<=\b[Ss]ince )|(?<=\bof )|(?<=\bfrom )|(?<=\buntil )|(?<=\bby )|(?<=\bfor ))"
_AGO: Final = r"(?:\d+|a few|two|three|several) (?:minutes|hours|days|weeks|months) ago"
_NEAR: Final = r"(?:last|next|this|past|coming)"
_SPAN: Final = r"(?:week(?:end)?|month|year|season|summer|winter|spring|autumn)s?"
_TITLED: Final = r"(?:seasons?|elections?|campaigns?|World|Olympics|Games|championships?)"
# The first rule that matches at a place wins, so longer forms stand before the shorter ones that they contain.
_RULES: Final = (
    # -- calendar dates
    _rule("date", 0.9, rf"(?P<y>{_YEAR}|[{_SIGNS}]{{4}})年(?P<m>{_MONTH})月(?:份)?(?:(?P<d>{_DAY})[日号])?"),
    _rule("date", 0.8, rf"(?<![\d{_SIGNS}])(?P<m>{_MONTH})月(?P<d>{_DAY})[日号]"),
    _rule("date", 0.9, rf"\b(?P<y>{_YEAR})(?P<s>[-/.])(?P<m>0?[1-9]|1[0-2])(?P=s)(?P<d>0?[1-9]|[12]\d|3[01])\b"),
    _rule("date", 0.8, rf"\b{_ORDINAL}\s+(?:of\s+)?(?:{_MONTHS}|(?:{_SHORT})\b\.?)(?:,?\s+{_YEAR}\b)?"),
    _rule("date", 0.8, rf"\b(?:{_MONTHS}|(?:{_SHORT})\b\.?)\s+{_ORDINAL}\b(?:,?\s+{_YEAR}\b)?"),
    _rule("date", 0.8, rf"\b(?:{_MONTHS}|(?:{_SHORT})\.?),?\s+{_YEAR}\b"),
    _rule("date", 0.55, rf"\b(?:[Ii]n|[Ll]ast|[Nn]ext|[Tt]his)\s+(?:early |late |mid-)?(?:{_MONTHS})\b"),
    _rule("date", 0.7, rf"(?<![\d.{_SIGNS}月、])(?:[12]\d|3[01]|[1-9])日(?=[^本元程常益均夜内光报])"),
    _rule("date", 0.6, rf"(?<![\d{_SIGNS}个])(?P<m>{_MONTH})月(?:份|[初中底末]|[上中下]旬)"),
    _rule("year", 0.6, rf"(?<!\d)(?P<y>{_YEAR}|[{_SIGNS}]{{4}})年(?![代级轻龄])"),
    _rule("year", 0.5, r"(?:[1-9]0|[一二三四五六七八九]十)年代|\b(?:1[5-9]|20)\d0s\b"),
    _rule("year", 0.6, rf"{_AFTER}(?P<y>{_YEAR})\b(?!\s*(?:%|people|km\b|m\b))"),
    _rule("year", 0.5, rf"\b[Tt]he\s+(?P<y>{_YEAR})\b"),
    _rule("year", 0.5, rf"\b(?P<y>{_YEAR})(?=\s+{_TITLED}\b)"),
    # -- the moment of posting
    _rule("deictic", 1.0, r"突发|快讯|快訊|刚刚|剛剛|正在直播|直播中|今[天日早晚晨夜]|今儿|连日来|連日來"),
    _rule("deictic", 1.0, r"(?:昨|前|明|后)[天日晚晨](?!报)"),
    _rule("deictic", 0.85, r"日前|近日|这两天|这几天|最近|眼下|此刻|(?<![出体表再呈展实])现在|即将"),
    _rule("deictic", 0.65, r"目前|当前|近来|近年来|最新|本报讯|[今去明]年|[今去明]春"),
    _rule("deictic", 0.65, r"[本这上下]周(?!年|期|岁|易)|[本上下]个?月(?!亮|饼|球)|[这上下]个?(?:星期|礼拜)"),
    _rule("deictic", 0.5, r"正在|(?:星期|礼拜|周)[一二三四五六日天]"),
    _rule("deictic", 1.0, r"\bbreaking(?: news)?\s*[:\-–!]|\bjust in\s*[:\-–!]", _I),
    _rule("deictic", 1.0, r"\b(?:today|tonight|yesterday|tomorrow|last night)(?:['’]s)?\b", _I),
    _rule(
        "deictic", 1.0, r"\bthis (?:morning|afternoon|evening|week(?:end)?)\b|\b(?:right|happening|live|just) now\b", _I
    ),
    _rule("deictic", 1.0, r"\bin a (?:little|short) while\b|\btune in\b|\bwatch live\b", _I),
    _rule(
        "deictic",
        0.7,
        rf"\b(?:[Oo]n|[Bb]y|[Uu]ntil|[Ss]ince|[Ll]ast|[Nn]ext|[Tt]his|[Ll]ate|[Ee]arly)\s+(?:{_WEEKDAYS})\b",
    ),
    _rule("deictic", 0.7, rf"\b(?:{_WEEKDAYS})(?:['’]s|\s+(?:morning|afternoon|evening|night))"),
    _rule("deictic", 0.7, rf"\b{_NEAR} {_SPAN}(?:['’]s)?\b|\b{_AGO}\b|\bin recent (?:days|weeks|months|years)\b", _I),
    _rule("deictic", 0.6, r"\b(?:currently|recently|latest|at the moment|nowadays|at present|these days|soon)\b", _I),
    _rule("deictic", 0.6, r"\b(?:upcoming|forthcoming)\b|\bnow\b(?!\s+(?:that|then)\b)", _I),
    # -- a time of day
    _rule("clock", 0.45, r"(?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:])(?:\s?[ap]\.?m\b\.?)?", _I),
    _rule("clock", 0.45, r"\b(?:1[0-2]|[1-9])\s?[ap]\.?m\b\.?", _I),
    _rule(
        "clock",
        0.45,
        rf"(?:[早晚]上|上午|下午|凌晨|中午|傍晚)(?:[0-2]?\d|[{_SIGNS}]{{1,3}})[点时](?:半|[0-5]?\d分|一刻)?",
    ),
)
_DIGIT: Final = {sign: value for value, sign in enumerate("〇一二三四五六七八九")} | {"零": 0}


def find(text: str) -> list[Expression]:
    """All expressions in the order of the text; they do not overlap. Full-width digits count as digits."""
    folded = _fold(text)
    taken: list[Expression] = []
    for rule in _RULES:
        for match in rule.pattern.finditer(folded):
            start, end = match.span()
            if start == end or any(start < other.end and other.start < end for other in taken):
                continue
            value = _value(match) if rule.kind in ("date", "year") else ""
            taken.append(
                Expression(
                    text=text[start:end], start=start, end=end, kind=rule.kind, strength=rule.strength, value=value
                )
            )
    return sorted(taken, key=lambda expression: expression.start)


def _fold(text: str) -> str:
    """Compatibility forms replaced sign by sign, so that places stay what they are."""
    return "".join(form if len(form := unicodedata.normalize("NFKC", sign)) == 1 else sign for sign in text)


def _value(match: re.Match[str]) -> str:
    """ISO 8601 of a match with named parts; empty where it has none or they are no date."""
    parts = match.groupdict()
    year, month, day = (_number(parts.get(name) or "") for name in ("y", "m", "d"))
    if year is None and month is None:
        return _english(match.group())
    return _iso(year, month, day)


def _iso(year: int | None, month: int | None, day: int | None) -> str:
    if (month is not None and not 1 <= month <= 12) or (day is not None and not 1 <= day <= 31):
        return ""
    if year is None:
        return f"--{month:02d}-{day:02d}" if day is not None else f"--{month:02d}"
    return f"{year:04d}" + (f"-{month:02d}" if month else "") + (f"-{day:02d}" if day else "")


def _english(text: str) -> str:
    """`3 March 2004`, `Mar 3rd`, `March 2004` -> ISO 8601."""
    months = re.search("jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", text.lower())
    year, day = re.search(_YEAR, text), re.search(r"(?<!\d)\d{1,2}(?!\d)", text)
    if months is None:
        return year.group() if year and not text.rstrip().endswith("s") else ""
    month = "janfebmaraprmayjunjulaugsepoctnovdec".index(months.group()) // 3 + 1
    return _iso(int(year.group()) if year else None, month, int(day.group()) if day else None)


def _number(signs: str) -> int | None:
    """Digits or a small Chinese numeral: `31`, `一九九八`, `三十一`, `廿三`."""
    if not signs:
        return None
    if signs.isdecimal():
        return int(signs)
    if all(sign in _DIGIT for sign in signs):
        return int("".join(str(_DIGIT[sign]) for sign in signs))
    tens, _, ones = signs.replace("廿", "二十").partition("十")
    if any(sign not in _DIGIT for sign in tens + ones):
        return None
    return (_DIGIT[tens] if tens else 1) * 10 + (_DIGIT[ones] if ones else 0)
