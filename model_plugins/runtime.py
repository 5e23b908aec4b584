"""From prepared tensors to features: checks, micro-batches, model calls, `interpret`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materials.errors import Permanent, SosieError, UsageError
from materials.records import Feature, Features
from model_plugins.balancing import Balancer
from model_plugins.batching import MicroBatcher, Slice
from model_plugins.instances import Directory
from model_plugins.kserve import numpy_dtype
from model_plugins.protocol import ModelRef, Plugin, Tensors
from model_plugins.triton import ModelClient

Arrays = dict[str, NDArray[Any]]


class PluginRuntime:
    """Runs the model half of plug-ins. Made, used and closed inside one event loop.

    Rows of all materials and of all plug-ins that name the same model share batches.

    Args:
        plugins: by name.
        directory: who serves the models.
        in_flight: calls at a time, for each model.
        deadline: seconds for one model call, over all its attempts. Waiting for a slot does not count: that is
            backpressure.
        wait: seconds that a row waits for company while a slot is free.
        balancer: round robin when not given.
    """

    def __init__(
        self,
        plugins: Mapping[str, Plugin],
        directory: Directory,
        in_flight: int = 3,
        deadline: float = 10.0,
        *,
        wait: float = 0.004,
        balancer: Balancer | None = None,
    ) -> None:
        self._plugins = dict(plugins)
        self._client = ModelClient(directory, balancer)
        self._deadline = deadline
        self._models: dict[str, ModelRef] = {}
        self._batchers: dict[str, MicroBatcher[Arrays, Arrays]] = {}
        for name, plugin in self._plugins.items():
            model = plugin.manifest.model
            if model is None:
                continue
            known = self._models.setdefault(model.name, model)
            if (known.inputs, known.outputs) != (model.inputs, model.outputs):
                raise UsageError(
                    f"plug-in {name!r} calls model {model.name!r} with other inputs or outputs than another plug-in",
                    "give one of the two models another name",
                )
            if model.name not in self._batchers or model.max_batch < known.max_batch:
                self._models[model.name] = model
                self._batchers[model.name] = MicroBatcher(
                    self._caller(model), max_rows=model.max_batch, wait=wait, in_flight=in_flight
                )

    async def run(self, prepared: Mapping[str, Tensors | None]) -> Features:
        """Call the models that are needed and interpret.

        Args:
            prepared: plug-in name -> what its `prepare` returned; None (nothing to do) gives no feature.

        Returns:
            `plugin@version` -> feature.

        Raises:
            UsageError: an unknown plug-in.
            Permanent: tensors that do not fit the model, or a plug-in that raised.
            Retryable: no model server could answer in time.
        """
        todo = [(self._plugin(name), tensors) for name, tensors in prepared.items() if tensors is not None]
        calls = [(plugin, tensors) for plugin, tensors in todo if plugin.manifest.model is not None]
        features: Features = {}
        for plugin, tensors in todo:
            if plugin.manifest.model is None:
                features[plugin.manifest.key] = _interpret(plugin, tensors)
        if len(calls) == 1:
            plugin, tensors = calls[0]
            features[plugin.manifest.key] = _interpret(plugin, await self._outputs(plugin, tensors))
        elif calls:
            answers = await asyncio.gather(*[self._outputs(*call) for call in calls], return_exceptions=True)
            _raise_worst([each for each in answers if isinstance(each, BaseException)])
            for (plugin, _), answer in zip(calls, answers, strict=True):
                assert not isinstance(answer, BaseException)  # noqa: S101 - raised above
                features[plugin.manifest.key] = _interpret(plugin, answer)
        return features

    async def close(self) -> None:
        """End calls in flight and close the channels."""
        for batcher in self._batchers.values():
            await batcher.close()
        await self._client.close()

    def _plugin(self, name: str) -> Plugin:
        try:
            return self._plugins[name]
        except KeyError:
            raise UsageError(
                f"plug-in {name!r} is not part of this job", f"its plug-ins: {', '.join(self._plugins)}"
            ) from None

    async def _outputs(self, plugin: Plugin, tensors: Tensors) -> Arrays:
        """The model's outputs for all rows, and the extra arrays."""
        model = plugin.manifest.model
        assert model is not None  # noqa: S101 - asked before
        inputs, rows = check_inputs(plugin.manifest.name, model, tensors)
        parts = await self._batchers[model.name].submit(inputs, rows)
        outputs = parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        for name, array in tensors.items():
            if name not in model.inputs:
                outputs[name] = array
        return outputs

    def _caller(self, model: ModelRef) -> Any:
        async def call(slices: list[Slice[Arrays]]) -> Sequence[Arrays]:
            rows = sum(piece.stop - piece.start for piece in slices)
            pieces = {name: [each.item[name][each.start : each.stop] for each in slices] for name in model.inputs}
            deadline = asyncio.get_running_loop().time() + self._deadline
            outputs = await self._client.infer(model, rows, pieces, deadline)
            answers: list[Arrays] = []
            start = 0
            for piece in slices:
                stop = start + piece.stop - piece.start
                answers.append({name: array[start:stop] for name, array in outputs.items()})
                start = stop
            return answers

        return call


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
        if array.dtype != numpy_dtype(dtype) or array.shape[1:] != shape or array.ndim != len(shape) + 1:
            raise Permanent(
                f"plug-in {plugin!r} prepared {name!r} as {array.dtype} {list(array.shape)}; "
                f"model {model.name!r} takes {dtype} [n, {', '.join(map(str, shape))}]"
            )
        if rows not in (-1, len(array)):
            raise Permanent(f"plug-in {plugin!r} prepared inputs of {rows} and of {len(array)} rows")
        rows = len(array)
        inputs[name] = np.ascontiguousarray(array)
    if rows < 1:
        raise Permanent(f"plug-in {plugin!r} prepared no rows for model {model.name!r}")
    return inputs, rows


def _interpret(plugin: Plugin, outputs: Tensors) -> Feature:
    try:
        return plugin.interpret(outputs)
    except SosieError:
        raise
    except Exception as error:
        raise Permanent(f"plug-in {plugin.manifest.key} failed in interpret: {error!r}") from error


def _raise_worst(errors: Sequence[BaseException]) -> None:
    """A permanent error decides: trying again would not help the record."""
    if errors:
        raise next((each for each in errors if isinstance(each, Permanent)), errors[0])
