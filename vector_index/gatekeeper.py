"""What a call meets before the service: is it whole, may it write, is there room for it, does anybody still wait?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import grpc
import structlog
from google.protobuf.message import DecodeError

from vector_index.channels import is_loopback
from vector_index.tokens import CHALLENGE, READS, Gate

SERVICE = "sosie.index.v1.VectorIndex"
MAX_BYTES_IN_FLIGHT = 256 << 20
"""Bytes of requests that are worked on or wait; beyond, callers are told to slow down."""
RETRY_AFTER_KEY = "sosie-retry-after"
REMEDY_KEY = "sosie-remedy-bin"
_FULL_PAUSE = 0.2

logger = structlog.get_logger(__name__)


class _Received(NamedTuple):
    """A request off the wire. `message` is None when its bytes are none."""

    message: Any
    size: int


class Gatekeeper(grpc.aio.ServerInterceptor):
    """An interceptor of the index service.

    Args:
        gate: who may write.
        max_bytes: of all requests in flight; a single larger one is let in alone.
    """

    def __init__(self, gate: Gate, max_bytes: int = MAX_BYTES_IN_FLIGHT) -> None:
        self._gate = gate
        self._max_bytes = max_bytes
        self._bytes = 0
        self._wrapped: dict[str, Any] = {}
        self.refused: Counter[str] = Counter()
        """Calls that were turned away, by reason."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The handler of a call, or one that refuses it."""
        handler = await continuation(details)
        service, _, name = details.method.lstrip("/").partition("/")
        if handler is None or service != SERVICE:
            return handler
        if name not in READS and not self._gate.admits(details.invocation_metadata):
            self.refused["token"] += 1
            return grpc.unary_unary_rpc_method_handler(self._refuse)
        wrapped = self._wrapped.get(name)
        if wrapped is None:
            wrapped = self._wrapped[name] = self._wrap(handler)
        return wrapped

    async def _refuse(self, _: bytes, context: Any) -> bytes:
        path = self._gate.path
        here = path is not None and is_loopback(context.peer())
        metadata = ((CHALLENGE, os.fsencode(path.resolve())),) if here and path is not None else ()
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this call writes, and carries no valid token", metadata)
        raise AssertionError("abort does not return")

    def _wrap(self, handler: Any) -> Any:
        decode, inner = handler.request_deserializer, handler.unary_unary

        def received(raw: bytes) -> _Received:
            try:
                return _Received(decode(raw), len(raw))
            except DecodeError:
                return _Received(None, len(raw))

        async def answer(request: _Received, context: Any) -> Any:
            await self._admit(request, context)
            self._bytes += request.size
            try:
                return await inner(request.message, context)
            finally:
                self._bytes -= request.size

        return grpc.unary_unary_rpc_method_handler(answer, received, handler.response_serializer)

    async def _admit(self, request: _Received, context: Any) -> None:
        if request.message is None:
            self.refused["malformed"] += 1
            remedy = ((REMEDY_KEY, b"send what vector_index/proto/index.proto says"),)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no message of this call", remedy)
        remaining = context.time_remaining()
        if remaining is not None and remaining <= 0:
            self.refused["expired"] += 1
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline had passed on arrival")
        if self._bytes and self._bytes + request.size > self._max_bytes:
            self.refused["bytes"] += 1
            full = f"{self._bytes} bytes of requests are in work, at most {self._max_bytes} may be"
            wait = ((RETRY_AFTER_KEY, f"{_FULL_PAUSE:.3f}"),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, full, wait)
