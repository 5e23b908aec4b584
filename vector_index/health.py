"""`grpc.health.v1.Health`, so that probes of Kubernetes, Envoy and `grpc_health_probe` understand the index service.

Wire: https://github.com/grpc/grpc/blob/master/src/proto/grpc/health/v1/health.proto. Messages have no name on the
wire, so ours, with the same fields, serve.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from vector_index.gatekeeper import SERVICE
from vector_index.proto import index_pb2 as pb

HEALTH = "grpc.health.v1.Health"
KNOWN = ("", SERVICE)
_WATCHERS = 32


class Health:
    """The state of one server. Belongs to its event loop."""

    def __init__(self) -> None:
        self._status = pb.HealthResponse.SERVING
        self._changed = asyncio.Condition()
        self._watchers = 0

    async def set_serving(self, serving: bool) -> None:
        """Tell probes and watchers."""
        async with self._changed:
            self._status = pb.HealthResponse.SERVING if serving else pb.HealthResponse.NOT_SERVING
            self._changed.notify_all()

    async def check(self, request: pb.HealthRequest, context: Any) -> pb.HealthResponse:
        """One answer; NOT_FOUND for a service that is not here."""
        if request.service not in KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:100]!r} here")
        return pb.HealthResponse(status=self._status)

    async def watch(self, request: pb.HealthRequest, context: Any) -> AsyncIterator[pb.HealthResponse]:
        """The state now, and after each change."""
        if self._watchers >= _WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_WATCHERS} callers watch already; use Check")
        if request.service not in KNOWN:
            yield pb.HealthResponse(status=pb.HealthResponse.SERVICE_UNKNOWN)
            return
        self._watchers += 1
        try:
            told: Any = None
            while True:
                async with self._changed:
                    while self._status == told:
                        await self._changed.wait()
                    told = self._status
                yield pb.HealthResponse(status=told)
        finally:
            self._watchers -= 1


def health_handler(health: Health) -> Any:
    """The generic handler to add to a server."""
    decode, encode = pb.HealthRequest.FromString, pb.HealthResponse.SerializeToString
    return grpc.method_handlers_generic_handler(
        HEALTH,
        {
            "Check": grpc.unary_unary_rpc_method_handler(health.check, decode, encode),
            "Watch": grpc.unary_stream_rpc_method_handler(health.watch, decode, encode),
        },
    )
