"""Two posts, measured for people: their texts, and the media that they share."""

from __future__ import annotations

from typing import Any

from vector_index.ranking.protocol import Evidence, Recall
from vector_index.ranking.text import TextContainment
from vector_index.ranking.text_pair import FEATURES, TextProfile, pair_features


def explain_posts(query: Evidence, reference: Evidence, recall: Recall) -> dict[str, Any]:  # noqa: ARG001
    """What was measured.

    Returns:
        `media` [query, reference, in common]; where both texts have two letters or digits in a row also `texts`
        (probability that they are copies of one text), `contained` (share of each that stands in the other),
        `conflicting_numbers`, `conflicting_names`.
    """
    ours, theirs = set(query.parts), set(reference.parts)
    common = {medium for medium in ours & theirs if medium[1]}
    told: dict[str, Any] = {"media": [len(query.parts), len(reference.parts), len(common)]}
    one, other = TextProfile.of(query.text), TextProfile.of(reference.text)
    if one.keys.size and other.keys.size:
        features = dict(zip(FEATURES, pair_features(one, other).tolist(), strict=True))
        told["texts"] = round(TextContainment().probability(one, other), 4)
        told["contained"] = [
            round(features[name], 3) for name in ("larger_containment", "smaller_containment") if name in features
        ]
        told["conflicting_numbers"] = int(features.get("conflicting_numbers", 0))
        told["conflicting_names"] = int(features.get("conflicting_names", 0))
    return told
