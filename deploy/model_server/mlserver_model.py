"""MLServer runtime that runs the same `model.onnx`; for machines where tritonserver cannot.

Runs inside MLServer's own environment and imports nothing of ours.
"""

from __future__ import annotations

import asyncio
import os

import numpy as np
import onnxruntime
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]


class OnnxModel(MLModel):
    """ONNX Runtime behind the KServe v2 protocol."""

    async def load(self) -> bool:
        """Load the model and run it once."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.path.join(os.environ["SOSIE_MODEL_REPOSITORY"], self.name, "1", "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name
        self.session.run([self.output], {self.input: np.zeros((1, 224, 224, 3), np.uint8)})
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run one request in a thread: ONNX Runtime lets go of the GIL."""
        image = np.asarray(NumpyCodec.decode_input(payload.inputs[0]), np.uint8)
        rows = (await asyncio.to_thread(self.session.run, [self.output], {self.input: image}))[0]
        output = NumpyCodec.encode_output(self.output, rows)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
