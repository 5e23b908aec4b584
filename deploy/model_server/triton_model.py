"""Triton Python-backend model: runs `model.onnx`, which lies beside this file, on one thread per instance.

Inputs and outputs have the names that the ONNX graph gives them; only the outputs that a request asks for are computed.
Runs inside the model server's own environment (numpy 1.x, onnxruntime) and imports nothing of ours.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

DTYPES = {"tensor(uint8)": np.uint8, "tensor(int16)": np.int16, "tensor(int64)": np.int64, "tensor(float)": np.float32}


class TritonPythonModel:
    """One instance: instances, not threads, use the cores."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and run it once, so that the first request is not the slow one."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()
        self.outputs = [each.name for each in self.session.get_outputs()]
        first = {
            each.name: np.zeros([size if isinstance(size, int) else 1 for size in each.shape], DTYPES[each.type])
            for each in self.inputs
        }
        self.session.run(self.outputs, first)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        tensors = {each.name: pb_utils.get_input_tensor_by_name(request, each.name).as_numpy() for each in self.inputs}
        wanted = list(request.requested_output_names()) or self.outputs
        try:
            answers = self.session.run(wanted, tensors)
        except Exception as error:  # ONNX Runtime has no common base class; the client gets the message
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"ONNX Runtime: {error}"))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, np.ascontiguousarray(rows)) for name, rows in zip(wanted, answers, strict=True)]
        )
