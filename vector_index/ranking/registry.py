"""Which ranker judges which kind."""

from __future__ import annotations

from materials.records import Kind
from vector_index.ranking.protocol import Ranker


def default_rankers() -> dict[Kind, Ranker]:
    """The rankers that ship. Imported late: they bring trained weights with them that a client never needs."""
    from vector_index.ranking.image import ImageFusion
    from vector_index.ranking.post import PostRule
    from vector_index.ranking.video import VideoAlignment

    return {"image": ImageFusion(), "video": VideoAlignment(), "post": PostRule()}
