"""Whether what a plug-in prepared is what its model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent
from model_plugins.protocol import ANY, ModelRef, Tensors
from model_plugins.transports.kserve import numpy_dtype

Arrays = dict[str, NDArray[Any]]


def check_inputs(plugin: str, model: ModelRef, tensors: Tensors) -> tuple[Arrays, int]:
    """The model's inputs out of what `prepare` returned, C-contiguous, and their number of rows.

    Raises:
        Permanent: an input is missing, or has another dtype or shape than the model's, or the rows differ.
    """
    inputs: Arrays = {}
    rows = -1
    for name, (dtype, shape) in model.inputs.items():
        array = tensors.get(name)
        if array is None:
            raise Permanent(
                f"plug-in {plugin!r} prepared no {name!r} for model {model.name!r}; it has {sorted(tensors)}"
            )
        if array.dtype != numpy_dtype(dtype) or array.ndim != len(shape) + 1 or not _fits(array.shape[1:], shape):
            raise Permanent(
                f"plug-in {plugin!r} prepared {name!r} as {array.dtype} {list(array.shape)}; model {model.name!r} "
                f"takes {dtype} [n, {', '.join('any' if size == ANY else str(size) for size in shape)}]"
            )
        if rows not in (-1, len(array)):
            raise Permanent(f"plug-in {plugin!r} prepared inputs of {rows} and of {len(array)} rows")
        rows = len(array)
        inputs[name] = np.ascontiguousarray(array)
    if rows < 1:
        raise Permanent(f"plug-in {plugin!r} prepared no rows for model {model.name!r}")
    return inputs, rows


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    return shape == declared or all(want in (ANY, got) for got, want in zip(shape, declared, strict=True))
