"""Pictures as the index sees them: features by the real plug-ins, recall by the real spaces; no server in between."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.image_models import embedder
from materials.records import Features
from model_plugins.builtin.image_embedding import ImageEmbedding
from model_plugins.builtin.image_local import ImageLocal
from model_plugins.builtin.image_pdq import ImagePdq
from model_plugins.protocol import ImageMedia
from vector_index.ranking.protocol import Evidence, Recall, RecallHit
from vector_index.spaces.dense import DenseSpace
from vector_index.spaces.keypoint_votes import KeypointVotes
from vector_index.spaces.protocol import Space

RECALL_K = 30
PER_SPACE = 8
"""As in `vector_index/decision.py` and `vector_index/comparison.py`."""
EMBEDDING, LOCAL = "image-embedding@1", "image-local@1"


class Extractor:
    """RGB pictures -> features. Args: `model`: the embedding, see `embedder`; `names`: plug-ins that are wanted."""

    def __init__(self, model: Path, names: Collection[str] = ("image-embedding", "image-local", "image-pdq")) -> None:
        self._plugins = [
            plugin for plugin in (ImageEmbedding(), ImageLocal(), ImagePdq()) if plugin.manifest.name in names
        ]
        self._embed = embedder(model)

    def features(self, rgb: NDArray[np.uint8]) -> Features:
        """As the job would send them."""
        media = ImageMedia(rgb=np.ascontiguousarray(rgb), width=rgb.shape[1], height=rgb.shape[0])
        found: Features = {}
        for plugin in self._plugins:
            tensors = plugin.prepare(media)
            if tensors is None:
                continue
            if plugin.manifest.model is not None:
                tensors = {"embedding": self._embed(tensors["image"])}
            found[plugin.manifest.key] = plugin.interpret(tensors)
        return found


class Gallery:
    """Stored pictures and their recall."""

    def __init__(self) -> None:
        self._items: list[Evidence] = []
        self._spaces: dict[str, Space] = {EMBEDDING: DenseSpace(), LOCAL: KeypointVotes()}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, name: str, features: Features, content_id: str = "") -> None:
        """Store a picture; without a content ID it is its own."""
        row = len(self._items)
        held = Evidence(material_id=name, kind="image", features=features, content_id=content_id or f"c-{name}")
        self._items.append(held)
        for key, space in self._spaces.items():
            if key in features:
                space.add([row], [features[key]])

    def recall(self, features: Features, hidden: Collection[str] = ()) -> tuple[list[Evidence], Recall]:
        """Candidates (the best of each path) and all hits; `hidden` pictures are as if they were not there."""
        hits: dict[str, tuple[RecallHit, ...]] = {}
        chosen: dict[str, Evidence] = {}
        for key, space in self._spaces.items():
            if key not in features:
                continue
            rows = space.search([features[key]], RECALL_K + len(hidden))[0]
            seen = [(self._items[row], score) for row, score in rows if self._items[row].material_id not in hidden]
            hits[key] = tuple(RecallHit(item.material_id, item.content_id, score) for item, score in seen[:RECALL_K])
            chosen.update({item.material_id: item for item, _ in seen[:PER_SPACE]})
        return list(chosen.values()), Recall(hits)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file, uint8 RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is not a picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
