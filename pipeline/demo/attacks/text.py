"""Text attacks: the same words, as they look after a few reposts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, Final

_EMOJI: Final = "😂👍🔥❤️🎉😭✨🙏"
_NAMES: Final = ("早安小助手", "travel_diary", "阿May", "city.notes", "吃货日记")
_FULL_WIDTH: Final = str.maketrans({",": "，", ".": "。", "!": "！", "?": "？", ":": "：", ";": "；"})
_HALF_WIDTH: Final = str.maketrans({v: chr(k) for k, v in _FULL_WIDTH.items() if isinstance(v, str)})


def typos(text: str, rng: Random) -> str:
    """One slip for every 20 characters, at most three: two letters swapped, or one lost. Digits stay as they are."""
    letters = list(text)
    for _ in range(min(3, max(1, len(letters) // 20))):
        places = [i for i in range(1, len(letters) - 1) if letters[i].isalpha() and letters[i + 1].isalpha()]
        if not places:
            break
        i = rng.choice(places)
        if rng.random() < 0.5:
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
        else:
            del letters[i]
    return "".join(letters)


def emoji(text: str, rng: Random) -> str:
    """Emoji in between and at the end."""
    at = rng.randint(len(text) // 3, len(text))
    return text[:at] + rng.choice(_EMOJI[:3]) + text[at:] + rng.choice(_EMOJI[2:4]) * rng.randint(1, 3)


def repost(text: str, rng: Random) -> str:
    """The prefix that a platform sets before a repost."""
    name = rng.choice(_NAMES)
    return rng.choice((f"转发微博 //@{name}: {text}", f"RT @{name}: {text}", f"//@{name}：{text}"))


def punctuation(text: str, rng: Random) -> str:
    """Full-width for half-width or back, doubled at the end."""
    table = _HALF_WIDTH if any(unicodedata.east_asian_width(c) in "WF" for c in text) else _FULL_WIDTH
    return text.translate(table) + rng.choice(("!!", "~", "……"))


def traditional(text: str, rng: Random) -> str:
    """Simplified characters -> traditional ones; a text without any is reposted instead."""
    out = str(_converter().convert(text))
    return out if out != text else repost(text, rng)


def link(text: str, rng: Random) -> str:
    """A hashtag before, a short link after."""
    tail = "".join(rng.choice("abcdefghkmnpqrstuvwxyz") for _ in range(6))
    return f"#{rng.choice(('今日分享', 'daily', '随手拍'))}# {text} http://t.cn/{tail}"


def invisible(text: str, rng: Random) -> str:
    """Zero-width characters strewn in, as against naive filters."""
    return "".join(c + ("\u200b" if rng.random() < 0.15 else "") for c in text) + "\u200d"


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("s2t")


TEXT_ATTACKS: Final[dict[str, Callable[[str, Random], str]]] = {
    attack.__name__: attack for attack in (typos, emoji, repost, punctuation, traditional, link, invisible)
}
