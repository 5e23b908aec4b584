"""`text-timeliness@1`: whether a text speaks of now, of a date or of no time, with the expressions that say so."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from model_plugins.features import time_expressions
from model_plugins.features.json_plugin import JsonPlugin
from model_plugins.features.time_expressions import Expression
from model_plugins.protocol import Example, Manifest, TextMedia

MAX_CHARACTERS: Final = 8_000
MAX_EXPRESSIONS: Final = 50
_SAYS_SOMETHING: Final = 0.4
"""The least strength that ties a text to a time."""


class TextTimeliness(JsonPlugin):
    """Text -> schema `timeliness`: {"timeliness": "now" | "dated" | "timeless", "strength": float, "expressions": […]}.

    `now`: tied to the moment of posting (today, 刚刚, breaking), so it ages within days. `dated`: tied to a calendar
    date or year. `timeless`: neither. An expression is {"text", "start", "end", "kind", "strength", "value"}, see
    `time_expressions.Expression`; at most 50. By rules, for Chinese and English; other languages come out timeless.
    """

    manifest = Manifest(
        name="text-timeliness",
        version=1,
        media="text",
        schema="timeliness",
        summary="whether the text speaks of now, of a date or of no time, with the date expressions (Chinese, English)",
    )

    def describe(self, media: Any) -> Any | None:
        """Never None: a text without an expression is timeless."""
        found = time_expressions.find(media.text[:MAX_CHARACTERS])
        timeliness, strength = judge(found)
        shown = [msgspec.to_builtins(expression) for expression in found[:MAX_EXPRESSIONS]]
        return {"timeliness": timeliness, "strength": strength, "expressions": shown}

    def examples(self) -> list[Example]:
        """One of each sort."""
        return [
            Example("now", TextMedia("刚刚，市中心发生火灾，消防车正在赶往现场。")),
            Example("dated", TextMedia("The treaty was signed in Rome on 25 March 1957.")),
            Example("timeless", TextMedia("Water boils at a lower temperature on high mountains.")),
        ]


def judge(expressions: list[Expression]) -> tuple[str, float]:
    """The side with the strongest expression, and its strength; on a tie, now. A clock time speaks of now."""
    now = max((e.strength for e in expressions if e.kind in ("deictic", "clock")), default=0.0)
    dated = max((e.strength for e in expressions if e.kind in ("date", "year")), default=0.0)
    if max(now, dated) < _SAYS_SOMETHING:
        return "timeless", 0.0
    return ("now", now) if now >= dated else ("dated", dated)
