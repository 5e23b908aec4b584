"""Which ranker judges which kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from materials.records import Kind
from vector_index.ranking.cosine import CosineRanker
from vector_index.ranking.protocol import Ranker

RANKERS: Mapping[Kind, tuple[str, str]] = {
    "image": ("vector_index.ranking.image", "ImageFusion"),
    "video": ("vector_index.ranking.video", "VideoAlignment"),
    "post": ("vector_index.ranking.post", "PostRule"),
}


def default_rankers() -> dict[Kind, Ranker]:
    """The rankers that ship; the plain cosine where one is not installed."""
    found: dict[Kind, Ranker] = {}
    for kind, (module, name) in RANKERS.items():
        try:
            found[kind] = getattr(importlib.import_module(module), name)()
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            found[kind] = CosineRanker()
    return found
