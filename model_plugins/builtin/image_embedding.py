"""`image-embedding@1`: what a picture looks like, as one unit vector. Recall for images rests on it."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.protocol import Example, ImageMedia, Manifest, ModelRef, Tensors

SIDE = 224
DIMENSIONS = 256

MODEL = ModelRef(
    name="image-embedding",
    inputs={"image": ("UINT8", (SIDE, SIDE, 3))},
    outputs=("embedding",),
    max_batch=8,
)
"""EfficientNet-Lite0, GeM pooling and a whitening projection; see `model_plugins.recipes`."""

_NORM_TOLERANCE = 0.02  # a half-precision model stays well inside


def squash(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [h, w, 3] -> uint8 [224, 224, 3], the aspect ratio given up so that nothing at the edges is lost.

    Area averaging where both sides shrink (no aliasing), linear interpolation elsewhere.
    """
    height, width = rgb.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return np.ascontiguousarray(rgb)
    shrinks = height >= SIDE and width >= SIDE
    resized = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def unit_vectors(outputs: Tensors) -> NDArray[np.float32]:
    """The model's output `embedding`, float32 [n, 256].

    Raises:
        Permanent: it has another shape, or its rows are not of unit norm (another model answers under this name).
    """
    vectors = np.asarray(outputs["embedding"], dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != DIMENSIONS:
        raise Permanent(f"model {MODEL.name!r} gave embeddings of shape {vectors.shape}, not [n, {DIMENSIONS}]")
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    if not bool(np.all(np.abs(norms - 1.0) <= _NORM_TOLERANCE)):  # false for NaN, too
        raise Permanent(f"model {MODEL.name!r} gave vectors of norm {norms.min():.3f} to {norms.max():.3f}, not 1")
    return vectors


class ImageEmbedding:
    """Image -> unit float32 (256,), schema `vector`."""

    manifest = Manifest(
        name="image-embedding",
        version=1,
        media="image",
        schema="vector",
        model=MODEL,
        space=True,
        min_side=SIDE,
        summary="what a picture looks like: EfficientNet-Lite0, GeM pooling, 256 dimensions",
    )
    model_outputs: ClassVar = {"embedding": ("FP32", (DIMENSIONS,))}
    """Name -> (dtype, shape of a row): what the conformance suite answers in the model's place."""

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]]:
        """`image`: uint8 [1, 224, 224, 3].

        Raises:
            Rejected: the picture has no pixels.
        """
        if media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        return {"image": squash(media.rgb)[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        """The one row.

        Raises:
            Permanent: see `unit_vectors`.
        """
        return Feature.of("vector", unit_vectors(outputs)[0])

    def examples(self) -> list[Example]:
        """Shrunk, enlarged and extremely wide pictures."""
        return [
            Example("a picture larger than the model's input", ImageMedia(gradient_scene(480, 640, 1), 640, 480)),
            Example("a small picture", ImageMedia(gradient_scene(60, 90, 2), 90, 60)),
            Example("a banner", ImageMedia(gradient_scene(40, 900, 3), 900, 40)),
            Example("a picture of the right size already", ImageMedia(gradient_scene(SIDE, SIDE, 4), SIDE, SIDE)),
        ]
