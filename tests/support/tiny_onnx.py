"""Small ONNX models: `image` uint8 [b, side, side, 3] -> `embedding` float32 [b, width]: a projection of the pixels."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def projection(weight: NDArray[np.float32], side: int = 8, output: str = "embedding") -> bytes:
    """`weight`: [side * side * 3, width]."""
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "projection",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", side, side, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", weight.shape[1]])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def random_projection(seed: int, width: int = 16, side: int = 8) -> bytes:
    """Another one for each seed."""
    weight = np.random.default_rng(seed).normal(size=(side * side * 3, width)).astype(np.float32)
    return projection(weight, side)


def fixed_batch() -> bytes:
    """A model that takes one row a call and no other number."""
    model = onnx.load_model_from_string(random_projection(1))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model.SerializeToString()
