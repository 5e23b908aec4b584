"""`image-ocr@1`: the text in a picture, Chinese and English, line by line."""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, Rejected
from materials.records import Feature
from model_plugins.builtin.sample_media import gradient_scene
from model_plugins.features import json_feature
from model_plugins.protocol import ANY, Example, ImageMedia, Manifest, ModelRef, Tensors

MODEL = ModelRef(
    name="ocr",
    inputs={"image": ("UINT8", (ANY, ANY, 3))},
    outputs=("boxes", "scores", "text"),
    max_batch=1,
)
"""PP-OCRv6 small, an extra of the local stack: `sosie up --models ocr`."""

LONGEST_SIDE = 1280
ENLARGED_SIDE, MOST_ENLARGED = 960, 2.0
"""Small writing is read better enlarged: of a page of 384 x 191 pixels 44 of 44 words instead of 17."""
SHORTEST_SIDE = 12
"""Pixels: no letter fits into less."""
MOST_LINES, MOST_BYTES = 256, 24_000


def legible(rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """uint8 [h, w, 3], scaled so that letters are of a size that the networks read: down to a longer side of 1280, or
    up to 960, but at most twice. None where no text can be."""
    height, width = rgb.shape[:2]
    longer = max(height, width)
    scale = LONGEST_SIDE / longer if longer > LONGEST_SIDE else max(1.0, min(MOST_ENLARGED, ENLARGED_SIDE / longer))
    h, w = round(height * scale), round(width * scale)
    if min(h, w) < SHORTEST_SIDE:
        return None
    if scale == 1.0:
        return np.ascontiguousarray(rgb)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (w, h), interpolation=interpolation), dtype=np.uint8)


def decoded(row: NDArray[np.uint8]) -> str:
    """UTF-8 with zeros behind it -> text, without what is no character to be read."""
    text = row.tobytes().rstrip(b"\0").decode("utf-8", "replace")
    return "".join(each for each in text if unicodedata.category(each)[0] != "C").strip()


class ImageOcr:
    """Image -> schema `text-lines`: JSON `{"text", "lines": [{"text", "score", "box"}, …]}`, in reading order.

    `box`: four corners, clockwise from where the line begins at the top, in fractions of width and height. `text`: the
    lines, one under the other. A picture without text has no lines. Up to 256 lines and 24,000 bytes are kept.
    """

    manifest = Manifest(
        name="image-ocr",
        version=1,
        media="image",
        schema="text-lines",
        model=MODEL,
        min_side=720,
        summary="the text in a picture, Chinese and English, with a box for each line",
    )
    model_outputs: ClassVar = {
        "boxes": ("FP32", (ANY, 4, 2)),
        "scores": ("FP32", (ANY,)),
        "text": ("UINT8", (ANY, ANY)),
    }

    def prepare(self, media: ImageMedia) -> dict[str, NDArray[Any]] | None:
        """`image`: uint8 [1, h, w, 3], and the extra array `size`: float32 [1, 2], its width and height.

        Raises:
            Rejected: the picture has no pixels.
        """
        if media.rgb.size == 0:
            raise Rejected("empty_image", f"the picture has no pixels ({media.width} x {media.height})")
        image = legible(media.rgb)
        if image is None:
            return None
        return {"image": image[None], "size": np.array([[image.shape[1], image.shape[0]]], np.float32)}

    def interpret(self, outputs: Tensors) -> Feature:
        """The lines, packed.

        Raises:
            Permanent: outputs that do not belong together, or hold not-a-numbers.
        """
        boxes, scores, text = outputs["boxes"][0], outputs["scores"][0], outputs["text"][0]
        if boxes.shape != (len(scores), 4, 2) or text.ndim != 2 or len(text) != len(scores):
            raise Permanent(
                f"model {MODEL.name!r} gave boxes {boxes.shape}, scores {scores.shape} and text {text.shape}"
            )
        if not bool(np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise Permanent(f"model {MODEL.name!r} gave not-a-numbers")
        corners = (boxes.astype(np.float64) / outputs["size"][0]).clip(0, 1).round(4)
        lines: list[dict[str, Any]] = []
        used = 0
        for box, score, row in zip(corners, scores, text, strict=True):
            words = decoded(row)
            used += len(words.encode())
            if len(lines) == MOST_LINES or used > MOST_BYTES:
                break
            if words:
                lines.append({"text": words, "score": round(float(score), 4), "box": box.tolist()})
        return json_feature.pack("text-lines", {"text": "\n".join(line["text"] for line in lines), "lines": lines})

    def examples(self) -> list[Example]:
        """A drawn word, and a picture without text."""
        word = np.full((120, 480, 3), 255, np.uint8)
        cv2.putText(word, "sosie 2026", (20, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 3)
        return [
            Example("a drawn word", ImageMedia(word, 480, 120)),
            Example("a picture without text", ImageMedia(gradient_scene(240, 1300, 4), 1300, 240)),
        ]
