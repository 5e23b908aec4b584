"""`image-pdq@1`: a perceptual hash. It says at once that two pictures are the same but for encoding and size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import pdq
from model_plugins.protocol import Example, ImageMedia, Manifest, Tensors


class ImagePdq:
    """Image -> uint8 (33,), schema `pdq`: 32 bytes of hash, then its quality 0..100. No model."""

    @property
    def manifest(self) -> Manifest:
        """Constant."""
        return Manifest(
            name="image-pdq",
            version=1,
            media="image",
            schema="pdq",
            min_side=128,
            summary="PDQ perceptual hash, 256 bits",
        )

    def prepare(self, media: Any) -> dict[str, NDArray[Any]]:
        """Still -> `hash` uint8 [1, 33].

        Raises:
            Rejected: the picture has no pixels.
        """
        if not isinstance(media, ImageMedia):
            raise TypeError(f"image-pdq takes an ImageMedia, not {type(media).__name__}")
        if media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        return {"hash": pdq.compute(media.rgb)[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        """`hash` as `prepare` gave it -> the feature.

        Raises:
            Permanent: another shape.
        """
        rows = np.asarray(outputs["hash"], dtype=np.uint8)
        if rows.shape != (1, 33):
            raise Permanent(f"a PDQ hash has shape {rows.shape}, not [1, 33]")
        return Feature.of("pdq", rows[0])

    def examples(self) -> list[Example]:
        """A scene."""
        return [Example("a scene", ImageMedia(rgb=gradient_scene(360, 480, seed=5), width=480, height=360))]
