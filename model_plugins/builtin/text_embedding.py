"""`text-embedding@1`: hashed character n-grams. Needs no model: a sentence encoder added nothing to finding copies."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from materials.text import normalise
from model_plugins.features.ngrams import hashed_ngrams
from model_plugins.protocol import Example, Manifest, Tensors, TextMedia

_MANIFEST: Final = Manifest(
    name="text-embedding",
    version=1,
    media="text",
    schema="vector",
    space=True,
    summary="Signed hash of the normalised text's character 2- and 3-grams, tf x idf, 512 dimensions, unit norm.",
)
_OUTPUT: Final = "vector"


class TextEmbedding:
    """Recall for texts: float32 (512,), unit norm. Version 1 includes the normal form and the rarity table."""

    @property
    def manifest(self) -> Manifest:
        return _MANIFEST

    def prepare(self, media: TextMedia) -> dict[str, NDArray[Any]] | None:
        """The finished vector as `vector` (1, 512); None for a text whose normal form is shorter than 2 characters."""
        vector = hashed_ngrams(normalise(media.text))
        return None if vector is None else {_OUTPUT: vector[np.newaxis]}

    def interpret(self, outputs: Tensors) -> Feature:
        """The vector, packed."""
        return Feature.of("vector", outputs[_OUTPUT][0])

    def examples(self) -> list[Example]:
        return [
            Example(
                title="a Chinese post", media=TextMedia(text="#早安# 今天天气真好，一起去公园吧！@小明 http://t.cn/a1")
            ),
            Example(title="an English post", media=TextMedia(text="Good morning! Let's meet at the park at 9:30.")),
        ]
