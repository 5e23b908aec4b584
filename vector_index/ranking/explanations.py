"""What a ranker's score of a pair rests on, for people: the same measurements as in its score, with names.

A ranker may tell it itself by a method `explain(query, reference, recall) -> dict`; for the others the kind's own
measurements are taken. All values are JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from vector_index.ranking.image_explanation import explain_images
from vector_index.ranking.protocol import Evidence, Ranker, Recall
from vector_index.ranking.text_explanation import explain_posts
from vector_index.ranking.video_explanation import explain_videos

Explain = Callable[[Evidence, Evidence, Recall], dict[str, Any]]


def evidence_of_pair(ranker: Ranker, query: Evidence, reference: Evidence, recall: Recall) -> dict[str, Any]:
    """Named measurements of one pair; what is missing (a job without local features) is left out."""
    own = cast(Explain | None, getattr(ranker, "explain", None))
    if own is not None:
        return own(query, reference, recall)
    by_kind: dict[str, Explain] = {"image": explain_images, "video": explain_videos, "post": explain_posts}
    return by_kind[query.kind](query, reference, recall)
