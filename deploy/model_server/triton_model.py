"""Triton Python-backend model: runs `model.onnx`, which lies beside this file, on one thread per instance.

Runs inside the model server's own environment (numpy 1.x, onnxruntime) and imports nothing of ours.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    """One instance: instances, not threads, use the cores."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and run it once, so that the first request is not the slow one."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name
        self.session.run([self.output], {self.input: np.zeros((1, 224, 224, 3), np.uint8)})

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        image = pb_utils.get_input_tensor_by_name(request, self.input).as_numpy()
        try:
            rows = self.session.run([self.output], {self.input: image})[0]
        except Exception as error:  # ONNX Runtime has no common base class; the client gets the message
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"ONNX Runtime: {error}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor(self.output, np.ascontiguousarray(rows, np.float32))])
