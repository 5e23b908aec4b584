"""`text-category@1`: the field that a text speaks of, in English and Chinese."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from model_plugins.features import topics
from model_plugins.features.json_plugin import JsonPlugin
from model_plugins.protocol import Example, Manifest, TextMedia

OTHER: Final = "other"
SURE: Final = 0.45
"""Below this probability of the best field, the category is `other`."""
MAX_CHARACTERS: Final = 8_000


class TextCategory(JsonPlugin):
    """Text -> schema `category`: {"category": str, "score": float, "categories": [{"category", "score"}]}.

    Fields: autos, business, entertainment, health, politics, sports, technology, or `other` where none is likely.
    `score` is the probability of the best field; `categories` has the best three with theirs. A linear model.
    """

    manifest = Manifest(
        name="text-category",
        version=1,
        media="text",
        schema="category",
        summary="the field that the text speaks of: politics, sports, business, … (English and Chinese)",
    )

    def describe(self, media: Any) -> Any | None:
        """None for a text with next to no words of these languages."""
        shares = topics.probabilities(media.text[:MAX_CHARACTERS], topics.fitted())
        if shares is None:
            return None
        order = np.argsort(-shares, kind="stable")[:3]
        best = [{"category": topics.FIELDS[i], "score": round(float(shares[i]), 4)} for i in order]
        category = best[0]["category"] if shares[order[0]] >= SURE else OTHER
        return {"category": category, "score": best[0]["score"], "categories": best}

    def examples(self) -> list[Example]:
        """Both languages, and a text that is too short to tell."""
        return [
            Example("sports", TextMedia("The striker scored twice in the second half as the team won the cup final.")),
            Example("politics", TextMedia("外交部发言人表示，两国总统将于下周举行会谈，讨论双边关系。")),
            Example("too short", TextMedia("ok")),
        ]
