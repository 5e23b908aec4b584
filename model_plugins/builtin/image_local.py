"""`image-local@1`: SIFT keypoints of a picture, 52 bytes each. Evidence for fine ranking and a second way of recall."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import local
from model_plugins.protocol import Example, ImageMedia, Manifest, Tensors


class ImageLocal:
    """Image -> uint8 (n, 52), n <= 192, schema `keypoints`. No model: about 25 ms of one core.

    A picture without texture has no keypoints: the feature is there, with n = 0.
    """

    @property
    def manifest(self) -> Manifest:
        """Constant."""
        return Manifest(
            name="image-local",
            version=1,
            media="image",
            schema="keypoints",
            space=True,
            min_side=320,
            summary="SIFT keypoints in 52 bytes each; finds crops, pastes and mirrored copies",
        )

    def prepare(self, media: Any) -> dict[str, NDArray[Any]]:
        """Still -> `keypoints` uint8 [1, n, 52].

        Raises:
            Rejected: the picture has no pixels.
        """
        if not isinstance(media, ImageMedia):
            raise TypeError(f"image-local takes an ImageMedia, not {type(media).__name__}")
        if media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        return {"keypoints": local.pack(local.detect(media.rgb), local.fitted_basis())[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        """`keypoints` as `prepare` gave it -> the feature.

        Raises:
            Permanent: another shape.
        """
        rows = np.asarray(outputs["keypoints"], dtype=np.uint8)
        if rows.ndim != 3 or rows.shape[0] != 1 or rows.shape[2] != local.ROW_BYTES:
            raise Permanent(f"keypoints have shape {rows.shape}, not [1, n, {local.ROW_BYTES}]")
        return Feature.of("keypoints", rows[0])

    def examples(self) -> list[Example]:
        """A scene with corners. (A flat picture is fine, too: no keypoints.)"""
        return [Example("a scene", ImageMedia(rgb=gradient_scene(360, 480, seed=5), width=480, height=360))]
