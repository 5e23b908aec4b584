"""Triton Python-backend model `ocr`: text lines of a picture, in Chinese and English (PP-OCRv6 small, by rapidocr).

In: `image` UINT8 [1, h, w, 3], RGB. Out, for n lines in reading order: `boxes` FP32 [1, n, 4, 2], corners in pixels,
clockwise from where the text begins at the top; `scores` FP32 [1, n]; `text` UINT8 [1, n, longest], UTF-8 with zeros
behind it. Runs inside the model server's own environment (extra `ocr`) and imports nothing of ours.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from rapidocr import RapidOCR  # type: ignore[import-not-found]

# Pictures come in the size that they are to be read at. By default the shorter side would be enlarged to 736, at up to
# four times the cost, and fewer words would be found (benchmarks/understanding.py).
PARAMETERS = {
    "Global.log_level": "error",
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Det.limit_type": "max",
    "Det.limit_side_len": 1280,
}


class TritonPythonModel:
    """One instance: instances, not threads, use the cores."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the three networks and read a drawn word, so that the first request is not the slow one."""
        del args
        cv2.setNumThreads(1)
        self.engine = RapidOCR(params=PARAMETERS)
        word = np.full((96, 320, 3), 255, np.uint8)
        cv2.putText(word, "sosie", (20, 64), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 3)
        if not self.engine(word).txts:
            raise RuntimeError("the OCR networks do not read a drawn word: the package's models are damaged")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        image = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
        try:
            found = self.engine(np.ascontiguousarray(image[0, :, :, ::-1]))
        except Exception as error:  # rapidocr, OpenCV and ONNX Runtime have no common base class
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"rapidocr: {error}"))
        boxes, scores, text = _tensors(found)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("boxes", boxes), pb_utils.Tensor("scores", scores), pb_utils.Tensor("text", text)]
        )


def _tensors(found: Any) -> tuple[Any, Any, Any]:
    lines = [line.encode() for line in found.txts or ()]
    if not lines or found.boxes is None:
        return np.zeros((1, 0, 4, 2), np.float32), np.zeros((1, 0), np.float32), np.zeros((1, 0, 1), np.uint8)
    text = np.zeros((1, len(lines), max(1, *map(len, lines))), np.uint8)
    for row, line in zip(text[0], lines, strict=True):
        row[: len(line)] = np.frombuffer(line, np.uint8)
    boxes = np.ascontiguousarray(found.boxes, np.float32)[None]
    return boxes, np.asarray(found.scores, np.float32)[None], text
