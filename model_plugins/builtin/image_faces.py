"""`image-faces@1`: where the faces of a picture are. Boxes and landmarks, nobody's identity."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.protocol import Example, ImageMedia, Manifest, ModelRef, Tensors

SIDE = 640
ROWS, COLUMNS = 100, 15
MODEL = ModelRef(
    name="faces",
    inputs={"image": ("UINT8", (SIDE, SIDE, 3))},
    outputs=("faces",),
    max_batch=8,
)
"""CenterFace; see `model_plugins.recipes.centerface`."""

LEAST_SCORE = 0.5
MOST_OVERLAP = 0.3
"""Intersection over union above which the weaker of two boxes goes."""


def fit(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """uint8 [h, w, 3] -> uint8 [640, 640, 3], the picture at the top left with its aspect ratio kept and black beside
    it, and float32 [2]: the shares of the square's width and height that it fills. Small pictures are not enlarged
    beyond twice their size: that shows no more."""
    height, width = rgb.shape[:2]
    scale = min(SIDE / max(height, width), 2.0)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square[:h, :w] = rgb if (h, w) == (height, width) else cv2.resize(rgb, (w, h), interpolation=interpolation)
    return square, np.array([w / SIDE, h / SIDE], np.float32)


def strongest(rows: NDArray[np.float32], filled: NDArray[np.float32]) -> NDArray[np.float32]:
    """The model's rows of one picture -> float32 [n, 15], best first: x0, y0, x1, y1, score, five landmarks (eyes,
    nose, corners of the mouth) as x, y. Positions are fractions of the picture's width and height.

    Args:
        rows: float32 [100, 15], positions in fractions of the square.
        filled: float32 [2], as `fit` gives it.
    """
    rows = rows[rows[:, 4] >= LEAST_SCORE]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept: list[NDArray[np.float32]] = []
    for row in rows:
        if all(_overlap(row, other) <= MOST_OVERLAP for other in kept):
            kept.append(row)
    found = np.array(kept, np.float32).reshape(-1, COLUMNS)
    position = np.array([column for column in range(COLUMNS) if column != 4])
    found[:, position] /= np.tile(filled, len(position) // 2)
    found[:, :4] = found[:, :4].clip(0, 1)
    return found[(found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])]


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    inner = np.minimum(one[2:4], other[2:4]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(inner.clip(0)))
    union = float(np.prod(one[2:4] - one[:2])) + float(np.prod(other[2:4] - other[:2])) - both
    return both / union if union > 0 else 0.0


class ImageFaces:
    """Image -> schema `faces`: float32 (n, 15), n <= 100; see `strongest`. No face: n = 0."""

    manifest = Manifest(
        name="image-faces",
        version=1,
        media="image",
        schema="faces",
        model=MODEL,
        min_side=480,
        summary="boxes, scores and landmarks of the faces in a picture",
    )
    model_outputs: ClassVar = {"faces": ("FP32", (ROWS, COLUMNS))}

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]]:
        """`image`: uint8 [1, 640, 640, 3], and the extra array `filled`: float32 [1, 2].

        Raises:
            Rejected: the picture has no pixels.
        """
        if media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        square, filled = fit(media.rgb)
        return {"image": square[None], "filled": filled[None]}

    def interpret(self, outputs: Tensors) -> Feature:
        """See `strongest`.

        Raises:
            Permanent: an output of another shape, or that holds not-a-numbers.
        """
        rows = np.asarray(outputs["faces"], dtype=np.float32)
        if rows.ndim != 3 or rows.shape[2] != COLUMNS or not bool(np.isfinite(rows[0]).all()):
            raise Permanent(f"model {MODEL.name!r} gave faces of shape {rows.shape}, or not-a-numbers")
        return Feature.of("faces", strongest(rows[0], outputs["filled"][0]))

    def examples(self) -> list[Example]:
        """Pictures of several forms (none has a face)."""
        return [
            Example("a picture larger than the model's input", ImageMedia(gradient_scene(300, 700, 1), 700, 300)),
            Example("a tall picture", ImageMedia(gradient_scene(600, 200, 2), 200, 600)),
            Example("a small picture", ImageMedia(gradient_scene(60, 90, 3), 90, 60)),
        ]
