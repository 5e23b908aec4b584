"""What a model would answer, without a model: the conformance suite needs no server.

A plug-in states the form of its model's outputs as the class attribute `model_outputs`; one whose `interpret` expects
more than the form (probabilities that sum to one) has a method `stand_in` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model_plugins.protocol import ANY, ModelRef
from model_plugins.transports.kserve import numpy_dtype

Arrays = dict[str, NDArray[Any]]
Outputs = Mapping[str, tuple[str, tuple[int, ...]]]
"""Output name -> (dtype, shape without the batch axis), as the model's metadata states them."""
_ANY_SIZE = 3


@runtime_checkable
class StandsIn(Protocol):
    """A plug-in that brings its model's stand-in."""

    def stand_in(self, inputs: Arrays) -> Arrays:
        """Inputs of one row each -> outputs of one row each, of the stated form; a function of the inputs alone."""
        ...


def answer_together(
    plugin: object, model: ModelRef | None, outputs: Outputs, every: list[dict[str, NDArray[Any]]]
) -> list[Arrays]:
    """What the model would answer for these materials in one batch: read-only slices of shared arrays, as the runtime
    gives them, and the extra arrays of `prepare`. Each row depends on its own inputs alone.

    Floats are rows of unit norm, integers 0..9. Without a model: the prepared arrays as they are.
    """
    if model is None:
        return [dict(tensors) for tensors in every]
    rows = [
        {name: tensors[name][number : number + 1] for name in model.inputs}
        for tensors in every
        for number in range(len(tensors[next(iter(model.inputs))]))
    ]
    answered = [plugin.stand_in(row) if isinstance(plugin, StandsIn) else _row(row, outputs) for row in rows]
    whole: Arrays = {}
    for name in outputs:
        whole[name] = np.concatenate([one[name] for one in answered])
        whole[name].flags.writeable = False
    answers: list[Arrays] = []
    start = 0
    for tensors in every:
        stop = start + len(tensors[next(iter(model.inputs))])
        extras = {key: array for key, array in tensors.items() if key not in model.inputs}
        answers.append({**{key: array[start:stop] for key, array in whole.items()}, **extras})
        start = stop
    return answers


def filled(answer: Arrays, outputs: Outputs, value: float) -> Arrays:
    """The same answer with each output full of the value, where its dtype has it (integers have no not-a-number)."""
    made = dict(answer)
    for name, (dtype, _) in outputs.items():
        if np.isfinite(value) or dtype.startswith("FP"):
            made[name] = np.full_like(answer[name], value)
            made[name].flags.writeable = False
    return made


def _row(inputs: Arrays, outputs: Outputs) -> Arrays:
    seed = sum(int(np.frombuffer(np.ascontiguousarray(each).tobytes(), np.uint8).sum()) for each in inputs.values())
    random = np.random.default_rng(seed)
    made: Arrays = {}
    for name, (dtype, declared) in outputs.items():
        shape = tuple(_ANY_SIZE if size == ANY else size for size in declared)
        if dtype.startswith("FP"):
            values = random.standard_normal(shape)
            made[name] = (values / max(float(np.linalg.norm(values)), 1e-12)).astype(numpy_dtype(dtype))[None]
        else:
            made[name] = random.integers(0, 2 if dtype == "BOOL" else 10, shape).astype(numpy_dtype(dtype))[None]
    return made
