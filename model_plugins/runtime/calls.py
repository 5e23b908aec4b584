"""Model calls of many materials and plug-ins, gathered into micro-batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model_plugins.client.batching import MicroBatcher, Slice
from model_plugins.protocol import ANY, ModelRef, Tensors
from model_plugins.runtime.inputs import Arrays, check_inputs
from model_plugins.runtime.observing import CallTracer
from model_plugins.runtime.route import Route

_Key = tuple[str, str, Route, tuple[Any, ...], tuple[str, ...]]
"""Of a queue: model, version, route, inputs, outputs."""


class _Rows(NamedTuple):
    """One medium's inputs, and what the tracer gave for them."""

    arrays: Arrays
    token: object = None


class Caller(Protocol):
    """A model client."""

    async def infer(
        self, model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]], deadline: float
    ) -> dict[str, NDArray[Any]]:
        """See `ModelClient.infer`."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class ModelCalls:
    """One queue for each model version and route; rows of all plug-ins that name the same model share batches.

    Args:
        client_for: route -> client; called once for each that is used.
        in_flight: calls at a time, for each queue.
        deadline: seconds for one call, over all its attempts, unless its route says other. Waiting for a slot does not
            count: that is backpressure.
        wait: seconds that a row waits for company while a slot is free.
        on_batch: told of each batch that leaves: model, version, rows, seconds that its oldest row waited, rows that
            stay behind.
        tracer: follows each medium's rows; nobody when not given.
    """

    def __init__(
        self,
        client_for: Callable[[Route], Caller],
        in_flight: int,
        deadline: float,
        wait: float,
        on_batch: Callable[[str, str, int, float, int], None],
        tracer: CallTracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._on_batch = on_batch
        self._client_for = client_for
        self._in_flight = in_flight
        self._deadline = deadline
        self._wait = wait
        self._clients: dict[Route, Caller] = {}
        self._batchers: dict[_Key, MicroBatcher[_Rows, Arrays]] = {}

    async def outputs(self, plugin: str, model: ModelRef, tensors: Tensors, route: Route) -> Arrays:
        """The model's outputs for all rows of `tensors`, and the arrays of it that are no inputs.

        Raises:
            Permanent: the tensors do not fit the model.
            Retryable: no server could answer in time.
        """
        inputs, rows = check_inputs(plugin, model, tensors)
        group = _shapes(inputs) if _is_ragged(model) else None
        batcher = self._batcher(model, route)
        if self._tracer is None:
            parts = await batcher.submit(_Rows(inputs), rows, group)
        else:
            token = self._tracer.asked(plugin, model)
            try:
                parts = await batcher.submit(_Rows(inputs, token), rows, group)
            finally:
                self._tracer.answered(token)
        outputs = parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        for name, array in tensors.items():
            if name not in model.inputs:
                outputs[name] = array
        return outputs

    async def close(self) -> None:
        """End calls in flight and the clients."""
        for batcher in self._batchers.values():
            await batcher.close()
        for client in self._clients.values():
            await client.close()

    def _batcher(self, model: ModelRef, route: Route) -> MicroBatcher[_Rows, Arrays]:
        # not by batch limit: two plug-ins that share a model share its queue, and the first one's limit counts
        key = (model.name, model.version, route, tuple(sorted(model.inputs.items())), model.outputs)
        found = self._batchers.get(key)
        if found is None:
            client = self._clients.get(route)
            if client is None:
                client = self._clients[route] = self._client_for(route)
            found = self._batchers[key] = MicroBatcher(
                self._caller(client, model, self._deadline if route.deadline_s is None else route.deadline_s),
                max_rows=model.max_batch,
                wait=self._wait,
                in_flight=self._in_flight,
                on_batch=partial(self._on_batch, model.name, model.version),
            )
        return found

    def _caller(
        self, client: Caller, model: ModelRef, seconds: float
    ) -> Callable[[list[Slice[_Rows]]], Awaitable[Sequence[Arrays]]]:
        async def call(slices: list[Slice[_Rows]]) -> Sequence[Arrays]:
            rows = sum(piece.stop - piece.start for piece in slices)
            pieces = {
                name: [each.item.arrays[name][each.start : each.stop] for each in slices] for name in model.inputs
            }
            deadline = asyncio.get_running_loop().time() + seconds
            if self._tracer is None:
                outputs = await client.infer(model, rows, pieces, deadline)
            else:
                with self._tracer.batch(rows, [each.item.token for each in slices]):
                    outputs = await client.infer(model, rows, pieces, deadline)
            answers: list[Arrays] = []
            start = 0
            for piece in slices:
                stop = start + piece.stop - piece.start
                answers.append({name: array[start:stop] for name, array in outputs.items()})
                start = stop
            return answers

        return call


def _is_ragged(model: ModelRef) -> bool:
    return any(ANY in shape for _, shape in model.inputs.values())


def _shapes(inputs: Arrays) -> tuple[tuple[int, ...], ...]:
    """Of a row: only rows of equal shapes can be stacked."""
    return tuple(array.shape[1:] for array in inputs.values())
