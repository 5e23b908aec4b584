"""`video-category@1`: the field that a video speaks of, fused from its frames, its speech and its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent
from materials.records import Feature
from model_plugins.features import json_feature, topics, video_fields
from model_plugins.protocol import Example, Manifest, Tensors, TextMedia

OTHER: Final = "other"
SURE: Final = 0.4
"""Below this probability of the best field, the category is `other`."""


class VideoCategory:
    """Features -> schema `category`: {"category", "score", "categories": [{"category", "score"}], "sides": [str]}.

    Fields as of `text-category`. `sides`: what had something to say, of frames, speech and text; no side: no feature.
    Without a model of its own: the other plug-ins' features are made in the same job.
    """

    manifest = Manifest(
        name="video-category",
        version=1,
        media="video",
        schema="category",
        summary="the field that a video speaks of, fused from its frames, its speech and its text",
    )
    needs = ("video-tags", "video-speech")

    def fuse(self, features: Mapping[str, Feature], text: str) -> Feature | None:
        """See the class.

        Raises:
            Permanent: a needed feature is not as its plug-in documents it.
        """
        fusion = video_fields.fitted()
        sides: dict[str, NDArray[np.float64] | None] = {"text": video_fields.text_shares(text)}
        if "video-speech" in features:
            sides["speech"] = video_fields.text_shares(_transcript(features["video-speech"]))
        if "video-tags" in features:
            row = _groups(features["video-tags"])
            sides["frames"] = video_fields.frame_shares(row, fusion.frames)
        heard = [side for side in video_fields.SIDES if sides.get(side) is not None]
        if not heard:
            return None
        shares = video_fields.fuse(sides, fusion)
        order = np.argsort(-shares, kind="stable")[:3].tolist()
        best = [{"category": topics.FIELDS[i], "score": round(float(shares[i]), 4)} for i in order]
        category = best[0]["category"] if shares[order[0]] >= SURE else OTHER
        value = {"category": category, "score": best[0]["score"], "categories": best, "sides": heard}
        return json_feature.pack("category", value)

    def prepare(self, media: Any) -> dict[str, NDArray[Any]] | None:
        """Not called for a plug-in that fuses; a clip alone has nothing for it."""
        del media
        return None

    def interpret(self, outputs: Tensors) -> Feature:
        """Not called for a plug-in that fuses.

        Raises:
            Permanent: always.
        """
        del outputs
        raise Permanent("video-category is made of other features: fuse makes it")

    def examples(self) -> list[Example]:
        """What the sides say together, one side alone, and nothing at all."""
        tags = json_feature.pack("tags", [{"tag": "soccer ball", "class": 805, "score": 0.7, "share": 1.0}])
        speech = json_feature.pack("transcript", {"text": "what a goal the striker wins the cup for his team"})
        return [
            Example(
                "frames, speech and text of a match",
                TextMedia("Highlights of the cup final: two goals in the second half"),
                lambda feature: json_feature.unpack(feature)["category"] == "sports",
                {"video-tags": tags, "video-speech": speech},
            ),
            Example("frames alone", TextMedia(""), None, {"video-tags": tags}),
            Example(
                "text alone",
                TextMedia("The prime minister won the vote in parliament before the election."),
                lambda feature: json_feature.unpack(feature)["category"] == "politics",
            ),
            Example("nothing to go by", TextMedia("")),
        ]


def _groups(feature: Feature) -> NDArray[np.float64]:
    try:
        return video_fields.group_row(json_feature.unpack(feature))
    except (TypeError, KeyError, ValueError) as error:
        raise Permanent(f"video-tags are not a list of tag, class and score: {error!r}") from error


def _transcript(feature: Feature) -> str:
    value = json_feature.unpack(feature)
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise Permanent("video-speech has no text")
    return str(value["text"])
