"""Calls models on whichever server offers them: discovery, balancing, one deadline over all attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import grpc
import structlog
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from materials.errors import Permanent, Retryable, SosieError
from model_plugins.balancing import Balancer, RoundRobin
from model_plugins.instances import Directory, Endpoint
from model_plugins.kserve import INFER_METHOD, ServerGone, build_request, error_of, read_response
from model_plugins.protocol import ModelRef
from model_plugins.shared_tensors import SharedTensors, is_unmapped

log = structlog.get_logger(__name__)

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", 256 << 20),
    ("grpc.max_receive_message_length", 256 << 20),
    # a server that comes back is to be met within a second; the default grows to two minutes
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)

_GRACE = 10.0
"""Seconds that calls in flight have when their server leaves the directory."""

_REDIAL = 0.25
"""Seconds between two rounds over servers that do not listen, when the directory has no news."""


class _Batch:
    """One call's tensors, on whatever server and by whatever way they go."""

    def __init__(self, model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]]) -> None:
        self.model = model
        self.rows = rows
        self.pieces = pieces

    @cached_property
    def message(self) -> service_pb2.ModelInferRequest:
        """The request with its tensors inside."""
        return build_request(self.model, self.rows, self.pieces)


class _Server:
    """A channel, and the memory that the server behind it shares with us."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self.shared = SharedTensors(self.channel, address)
        self._infer = self.channel.unary_unary(
            INFER_METHOD,
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )

    async def infer(self, batch: _Batch, seconds: float) -> service_pb2.ModelInferResponse:
        """One call, through shared memory where that can be."""
        region = await self.shared.take(batch.model, batch.rows)
        if region is not None:
            try:
                return await self._infer(region.lay(batch.model, batch.rows, batch.pieces), timeout=seconds)
            except grpc.aio.AioRpcError as error:
                if not is_unmapped(error):
                    raise
                self.shared.forget()  # it was restarted
            finally:
                self.shared.give_back(region)
        return await self._infer(batch.message, timeout=seconds)


class ModelClient:
    """Belongs to one event loop, in which it must be made and closed.

    Args:
        directory: who serves what.
        balancer: chooses the endpoint of each attempt; round robin when not given.
        patience: seconds that a call waits and dials again while no server is known or none of them listens.
    """

    def __init__(self, directory: Directory, balancer: Balancer | None = None, patience: float = 5.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._directory = directory
        self._balancer = balancer or RoundRobin()
        self._patience = patience
        self._channels: dict[str, _Server] = {}
        self._changed = asyncio.Event()
        self._models: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._unsubscribe = directory.subscribe(self._on_change)

    async def infer(
        self, model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]], deadline: float
    ) -> dict[str, NDArray[Any]]:
        """Run `rows` rows through the model.

        Args:
            pieces: for each input the arrays that together make the batch; see `kserve.build_request`.
            deadline: in the loop's time; it holds for all attempts together.

        Returns:
            Output name -> array [rows, ...].

        Raises:
            Overloaded: every server's queue is full.
            Retryable: no server is known, all of them failed, or the deadline passed.
            Permanent: the model is unknown to its servers, or does not take these tensors.
        """
        self._models.add(model.name)
        tried: set[str] = set()
        patient_until = self._loop.time() + self._patience
        try:
            async with asyncio.timeout_at(deadline):
                batch = _Batch(model, rows, pieces)
                while True:
                    try:
                        return read_response(model, rows, await self._round(batch, deadline, tried))
                    except ServerGone:
                        # the whole service restarts, most likely: a moment later the record would not have to wait
                        if self._loop.time() >= patient_until:
                            raise
                        await self._news(min(self._loop.time() + _REDIAL, patient_until))
        except TimeoutError as error:
            if not tried:
                raise self._nobody(model.name) from error
            where = ", ".join(sorted(tried))
            raise Retryable(f"model {model.name!r} gave no answer within the deadline; tried {where}") from error

    async def close(self) -> None:
        """Close all channels."""
        self._unsubscribe()
        servers = list(self._channels.values())
        self._channels.clear()
        for server in servers:
            await server.shared.close()
            await server.channel.close()
        await asyncio.gather(*self._closing)

    async def _round(self, batch: _Batch, deadline: float, seen: set[str]) -> service_pb2.ModelInferResponse:
        """Ask one server after another, each once; `seen` gathers their addresses.

        Raises:
            ServerGone: nobody is known, or nobody listens any more.
            SosieError: what the last one that listened said.
        """
        model = batch.model.name
        tried: set[str] = set()
        failures: list[SosieError] = []
        endpoints = self._directory.endpoints(model)
        while endpoint := self._balancer.pick(endpoints, tried):
            tried.add(endpoint.address)
            seen.add(endpoint.address)
            try:
                return await self._attempt(endpoint, batch, deadline, last=len(tried) >= len(endpoints))
            except grpc.aio.AioRpcError as error:
                failure = error_of(error.code(), error.details() or "", model, endpoint.address)
                # an unknown model may be known to the next server; bad tensors are bad everywhere
                if isinstance(failure, Permanent) and error.code() != grpc.StatusCode.NOT_FOUND:
                    raise failure from error
                log.warning("model_call_failed", model=model, endpoint=endpoint.address, error=str(failure))
                failures.append(failure)
            endpoints = self._directory.endpoints(model)
        if not failures:
            raise self._nobody(model)
        raise next((each for each in reversed(failures) if not isinstance(each, ServerGone)), failures[-1])

    async def _attempt(
        self, endpoint: Endpoint, batch: _Batch, deadline: float, last: bool
    ) -> service_pb2.ModelInferResponse:
        started = self._loop.time()
        # a server that hangs must leave the next one time: half of what is left, all of it where there is no other
        budget = (deadline - started) * (1.0 if last else 0.5)
        error: BaseException | None = None
        try:
            return await self._server(endpoint.address).infer(batch, budget)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._balancer.done(endpoint, self._loop.time() - started, error)

    def _server(self, address: str) -> _Server:
        found = self._channels.get(address)
        if found is None:
            found = self._channels[address] = _Server(address)
        return found

    async def _news(self, until: float) -> None:
        """Wait until the directory changes, `until` at most."""
        self._changed.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    def _nobody(self, model: str) -> ServerGone:
        return ServerGone(
            f"no server offers model {model!r}: nobody is ready in {self._directory.where(model)}; "
            "`sosie status` shows what runs"
        )

    def _on_change(self, _model: str) -> None:
        """Called in the directory's thread."""
        try:
            self._loop.call_soon_threadsafe(self._look_again)
        except RuntimeError:  # the loop was closed before this client was
            self._unsubscribe()

    def _look_again(self) -> None:
        """Wake those that wait for a first endpoint; let go of servers that no model of ours is on any more."""
        self._changed.set()
        alive = {each.address for model in self._models for each in self._directory.endpoints(model)}
        for address in [each for each in self._channels if each not in alive]:
            channel = self._channels.pop(address).channel
            task = self._loop.create_task(channel.close(grace=_GRACE))  # calls in flight may end
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
