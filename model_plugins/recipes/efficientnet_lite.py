"""EfficientNet-Lite0 as an ONNX graph, from its PyTorch weights.

Architecture: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019), in the
Lite form of tensorflow/tpu (no squeeze-and-excitation, ReLU6, fixed stem and head). Weights: Apache-2.0.
Pooling: generalised mean with p = 3 (Radenovic, Tolias & Chum, "Fine-tuning CNN Image Retrieval with No Human
Annotation", TPAMI 2019), of four maps of growing depth: earlier maps keep the texture by which copies are told from
pictures of the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_plugins.recipes.embedding_head import EmbeddingHead

OPSET, IR_VERSION = 17, 9
SIDE = 224
EMBEDDING_DIMENSION = 256
BATCH_NORM_EPSILON = np.float32(1e-3)
STAGES = (
    # blocks, kernel, stride of the first, expansion, output channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
POOLED_BLOCKS = (5, 11, 15)
"""Blocks whose expanded map (240, 672, 1152 channels) is pooled, beside the head's 1280 channels."""
POOLED_CHANNELS = (240, 672, 1152, 1280)

State = Mapping[str, NDArray[Any]]


class _Graph:
    """Nodes and initializers in the order of their making; names are counted, so that equal calls give equal bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, array: NDArray[Any] | np.generic) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n{len(self.nodes)}", **attributes))
        return output


def _convolution(
    graph: _Graph, x: str, state: State, weight: str, norm: str, *, stride: int = 1, groups: int = 1, act: bool = True
) -> str:
    """Convolution with its batch norm folded in, TensorFlow's SAME padding, then ReLU6."""
    gamma, beta, mean, variance = (
        state[f"{norm}.{part}"].astype(np.float32) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    kernel = (state[weight] * scale[:, None, None, None]).astype(np.float32)
    side = kernel.shape[2]
    padding: dict[str, Any] = {"pads": [side // 2] * 4} if stride == 1 else {"auto_pad": "SAME_UPPER"}
    y = graph.op(
        "Conv",
        [x, graph.constant(kernel), graph.constant(beta - mean * scale)],
        kernel_shape=[side, side],
        strides=[stride, stride],
        group=groups,
        **padding,
    )
    if not act:
        return y
    return graph.op("Clip", [y, graph.constant(np.float32(0)), graph.constant(np.float32(6))])


def _backbone(graph: _Graph, x: str, state: State) -> list[str]:
    """NCHW input in -1..1 -> names of the four maps to pool."""
    maps = []
    x = _convolution(graph, x, state, "_conv_stem.weight", "_bn0", stride=2)
    channels, block = 32, 0
    for blocks, _kernel, first_stride, expansion, width in STAGES:
        for position in range(blocks):
            prefix, stride, y = f"_blocks.{block}.", first_stride if position == 0 else 1, x
            if expansion != 1:
                y = _convolution(graph, y, state, prefix + "_expand_conv.weight", prefix + "_bn0")
            if block in POOLED_BLOCKS:
                maps.append(y)
            y = _convolution(
                graph, y, state, prefix + "_depthwise_conv.weight", prefix + "_bn1",
                stride=stride, groups=channels * expansion,
            )  # fmt: skip
            y = _convolution(graph, y, state, prefix + "_project_conv.weight", prefix + "_bn2", act=False)
            x = graph.op("Add", [x, y]) if stride == 1 and channels == width else y
            channels, block = width, block + 1
    maps.append(_convolution(graph, x, state, "_conv_head.weight", "_bn1"))
    return maps


def _generalised_mean(graph: _Graph, x: str) -> str:
    """Cube, mean, cube root (two products are cheaper than Pow on a whole map), unit norm: [b, c]."""
    cube = graph.op("Mul", [graph.op("Mul", [x, x]), x])
    mean = graph.op("Flatten", [graph.op("GlobalAveragePool", [cube])])
    safe = graph.op("Add", [mean, graph.constant(np.float32(1e-6))])
    root = graph.op("Pow", [safe, graph.constant(np.float32(1 / 3))])
    return graph.op("LpNormalization", [root], axis=1, p=2)


def build_model(state: State, head: EmbeddingHead | None) -> onnx.ModelProto:
    """The model: `image` uint8 [b, 224, 224, 3] RGB -> `embedding` float32 [b, 256], unit norm.

    Without a head: `pooled` float32 [b, 3344], what a head is fitted on.

    Raises:
        KeyError: a tensor is missing from the state dict.
        ValueError: the head has other dimensions.
    """
    graph = _Graph()
    x = _pixels(graph)
    pooled = [_generalised_mean(graph, name) for name in _backbone(graph, x, state)]
    if head is None:
        name, width = graph.op("Concat", pooled, "pooled", axis=1), sum(POOLED_CHANNELS)
    else:
        if head.weight.shape != (sum(POOLED_CHANNELS), EMBEDDING_DIMENSION):
            raise ValueError(f"a head of {head.weight.shape}, not {(sum(POOLED_CHANNELS), EMBEDDING_DIMENSION)}")
        x = graph.op("Concat", pooled, axis=1)
        x = graph.op("Gemm", [x, graph.constant(head.weight), graph.constant(head.bias)])
        name, width = graph.op("LpNormalization", [x], "embedding", axis=1, p=2), EMBEDDING_DIMENSION
    return _model(graph, "efficientnet_lite0_gem", name, width)


def build_classifier(state: State) -> onnx.ModelProto:
    """The classifier as it was trained: `image` uint8 [b, 224, 224, 3] RGB -> `probabilities` float32 [b, 1000].

    Raises:
        KeyError: a tensor is missing from the state dict.
    """
    graph = _Graph()
    last = _backbone(graph, _pixels(graph), state)[-1]
    pooled = graph.op("Flatten", [graph.op("GlobalAveragePool", [last])])
    weight, bias = (state[f"_fc.{part}"].astype(np.float32) for part in ("weight", "bias"))
    logits = graph.op("Gemm", [pooled, graph.constant(weight), graph.constant(bias)], transB=1)
    name = graph.op("Softmax", [logits], "probabilities", axis=1)
    return _model(graph, "efficientnet_lite0_classifier", name, len(bias))


def _pixels(graph: _Graph) -> str:
    """`image` -> NCHW in -1..1."""
    x = graph.op("Cast", [graph.op("Transpose", ["image"], perm=[0, 3, 1, 2])], to=TensorProto.FLOAT)
    x = graph.op("Sub", [x, graph.constant(np.float32(127))])
    return graph.op("Mul", [x, graph.constant(np.float32(1 / 128))])


def _model(graph: _Graph, title: str, output: str, width: int) -> onnx.ModelProto:
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            title,
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", SIDE, SIDE, 3])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", width])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="sosie",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model
