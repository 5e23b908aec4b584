"""`text-words@1`: a text cut into words, and those that say most about it. Chinese by jieba's dictionary and HMM."""

from __future__ import annotations

import importlib
import logging
import re
import unicodedata
import warnings
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Any, Final

from model_plugins.features.json_plugin import JsonPlugin, require
from model_plugins.features.stop_words import STOP_WORDS
from model_plugins.protocol import Example, Manifest, TextMedia

MAX_CHARACTERS: Final = 8_000
MAX_WORDS: Final = 1_000
KEYWORDS: Final = 12
_UNKNOWN_RARITY: Final = 9.0
"""Inverse document frequency of a word that jieba's table lacks; names and foreign words."""
_LINK: Final = re.compile(r"https?://\S+|www\.\S+")
_WORD: Final = re.compile(r"\w", re.UNICODE)


class TextWords(JsonPlugin):
    """Text -> schema `words`: {"words": [str], "keywords": [{"word": str, "weight": float}], "truncated": bool}.

    `words`: in the order of the text, without punctuation, space and links, NFKC. `keywords`: up to 12, heaviest first,
    by tf x idf (jieba's table for Chinese), function words left out; weights are shares of their sum.

    Raises:
        UsageError: jieba is not installed.
    """

    manifest = Manifest(
        name="text-words",
        version=1,
        media="text",
        schema="words",
        summary="the text cut into words (Chinese and English), and its keywords by tf x idf",
    )

    def __init__(self) -> None:
        require(self.manifest.name, "jieba")

    def describe(self, media: Any) -> Any | None:
        """None for a text without a letter or a digit."""
        text = _LINK.sub(" ", unicodedata.normalize("NFKC", media.text[:MAX_CHARACTERS]))
        words = [word for word in cut(text) if _WORD.search(word)]
        if not words:
            return None
        truncated = len(media.text) > MAX_CHARACTERS or len(words) > MAX_WORDS
        return {"words": words[:MAX_WORDS], "keywords": keywords(words), "truncated": truncated}

    def examples(self) -> list[Example]:
        """Both languages, and signs alone, which have no words."""
        return [
            Example("a Chinese post", TextMedia("北京大学的学生在图书馆讨论人工智能，图书馆里很安静。")),
            Example("an English post", TextMedia("The library is quiet; students of the library talk about physics.")),
            Example("signs only", TextMedia("……！！！ 🎉")),
        ]


def cut(text: str) -> list[str]:
    """Words, punctuation and spaces in order: joined, they are the text."""
    return list(_tokenizer().cut(text))


def keywords(words: list[str], limit: int = KEYWORDS) -> list[dict[str, Any]]:
    """The words of greatest tf x idf: [{"word", "weight"}], weights in shares that are rounded to 4 places."""
    counts = Counter(word.casefold() for word in words if _tells(word))
    rarity = _rarity()
    weights = {word: count * rarity.get(word, _UNKNOWN_RARITY) for word, count in counts.items()}
    total = sum(weights.values())
    best = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return [{"word": word, "weight": round(weight / total, 4)} for word, weight in best]


def _tells(word: str) -> bool:
    """Whether a word can be a keyword: no function word, no number, no lone letter or sign of Chinese."""
    return len(word) > 1 and word.casefold() not in STOP_WORDS and not word.replace(".", "").isdigit()


@cache
def _tokenizer() -> Any:
    """jieba with its own dictionary: about a second, once in a process.

    Filled here and not by its `initialize`, which would unmarshal whatever lies in the shared temporary folder.
    """
    tokenizer = _jieba().Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


@cache
def _rarity() -> dict[str, float]:
    """Inverse document frequency by word, from jieba's table."""
    lines = files("jieba").joinpath("analyse", "idf.txt").read_text(encoding="utf-8").splitlines()
    return {word: float(value) for word, value in (line.rsplit(" ", 1) for line in lines if " " in line)}


@cache
def _jieba() -> Any:
    """jieba, without its words on standard error and its warnings about its own escape sequences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jieba: Any = importlib.import_module("jieba")
    jieba.setLogLevel(logging.WARNING)
    return jieba
