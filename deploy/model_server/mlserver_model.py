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

DTYPES = {"tensor(uint8)": np.uint8, "tensor(int16)": np.int16, "tensor(int64)": np.int64, "tensor(float)": np.float32}


class OnnxModel(MLModel):
    """ONNX Runtime behind the KServe v2 protocol."""

    async def load(self) -> bool:
        """Load the model and run it once."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.path.join(os.environ["SOSIE_MODEL_REPOSITORY"], self.name, "1", "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.types = {each.name: DTYPES[each.type] for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]
        first = {
            each.name: np.zeros([size if isinstance(size, int) else 1 for size in each.shape], DTYPES[each.type])
            for each in self.session.get_inputs()
        }
        self.session.run(self.outputs, first)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run one request in a thread: ONNX Runtime lets go of the GIL."""
        tensors = {
            each.name: np.asarray(NumpyCodec.decode_input(each), self.types[each.name]) for each in payload.inputs
        }
        rows = await asyncio.to_thread(self.session.run, self.outputs, tensors)
        outputs = [NumpyCodec.encode_output(name, each) for name, each in zip(self.outputs, rows, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
