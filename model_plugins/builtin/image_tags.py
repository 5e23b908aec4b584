"""`image-tags@1`: what a picture shows, in the words of ImageNet's 1000 classes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.image_embedding import SIDE, squash
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import json_feature
from model_plugins.features.imagenet import CLASSES, class_names
from model_plugins.protocol import Example, ImageMedia, Manifest, ModelRef, Tensors

MODEL = ModelRef(
    name="image-tags",
    inputs={"image": ("UINT8", (SIDE, SIDE, 3))},
    outputs=("probabilities",),
    max_batch=8,
)
"""EfficientNet-Lite0 as it was trained; see `model_plugins.recipes`."""

MOST = 5
LEAST_SCORE = 0.05
_SUM_TOLERANCE = 0.02  # a half-precision model stays inside


def probabilities(outputs: Tensors) -> NDArray[np.float32]:
    """The model's output `probabilities`, float32 [n, 1000].

    Raises:
        Permanent: it has another shape, or its rows do not sum to one (another model answers under this name).
    """
    rows = np.asarray(outputs["probabilities"], dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != CLASSES:
        raise Permanent(f"model {MODEL.name!r} gave probabilities of shape {rows.shape}, not [n, {CLASSES}]")
    if not bool(np.all(np.abs(rows.sum(axis=1) - 1) <= _SUM_TOLERANCE)):  # false for NaN, too
        raise Permanent(f"model {MODEL.name!r} gave probabilities that do not sum to one")
    return rows


def tags_of(row: NDArray[np.float32]) -> list[dict[str, Any]]:
    """float32 [1000] -> up to five classes of a probability of 5 % or more, best first."""
    best = np.argsort(-row, kind="stable")[:MOST]
    names = class_names()
    return [
        {"tag": names[place], "class": int(place), "score": round(float(row[place]), 4)}
        for place in best
        if row[place] >= LEAST_SCORE
    ]


class ImageTags:
    """Image -> schema `tags`: JSON `[{"tag", "class", "score"}, …]`, best first, perhaps empty."""

    manifest = Manifest(
        name="image-tags",
        version=1,
        media="image",
        schema="tags",
        model=MODEL,
        min_side=SIDE,
        summary="what a picture shows: up to five of ImageNet's 1000 classes, with probabilities",
    )
    model_outputs: ClassVar = {"probabilities": ("FP32", (CLASSES,))}

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]]:
        """`image`: uint8 [1, 224, 224, 3].

        Raises:
            Rejected: the picture has no pixels.
        """
        if media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        return {"image": squash(media.rgb)[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        """See `tags_of`.

        Raises:
            Permanent: see `probabilities`.
        """
        return json_feature.pack("tags", tags_of(probabilities(outputs)[0]))

    def stand_in(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What a model might answer, for checks without one: one class for each mean colour."""
        row = np.full((1, CLASSES), 0.1 / (CLASSES - 1), np.float32)
        row[0, int(inputs["image"].sum(dtype=np.uint64) % CLASSES)] = 0.9
        return {"probabilities": row}

    def examples(self) -> list[Example]:
        """Shrunk and enlarged pictures."""
        return [
            Example("a picture larger than the model's input", ImageMedia(gradient_scene(480, 640, 1), 640, 480)),
            Example("a small picture", ImageMedia(gradient_scene(60, 90, 2), 90, 60)),
        ]
