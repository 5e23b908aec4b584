"""KServe v2 over gRPC, with tensors through shared memory where client and server have one."""

from __future__ import annotations

import grpc
from tritonclient.grpc import service_pb2

from model_plugins.transports.kserve import INFER_METHOD, error_of, read_response
from model_plugins.transports.shared_tensors import SharedTensors, is_unmapped
from model_plugins.transports.transport import Answer, Batch

_READY_METHOD = "/inference.GRPCInferenceService/ModelReady"
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", 256 << 20),
    ("grpc.max_receive_message_length", 256 << 20),
    # a server that comes back is to be met within a second; the default grows to two minutes
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcTransport:
    """A channel, and the memory that the server behind it shares with us.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self.shared = SharedTensors(self.channel, address)
        self._address = address
        self._infer = self.channel.unary_unary(
            INFER_METHOD,
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        self._ready = self.channel.unary_unary(
            _READY_METHOD,
            request_serializer=service_pb2.ModelReadyRequest.SerializeToString,
            response_deserializer=service_pb2.ModelReadyResponse.FromString,
        )

    async def infer(self, batch: Batch, seconds: float) -> Answer:
        """One call, through shared memory where that can be."""
        try:
            response = await self._call(batch, seconds)
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code(), error.details() or "", batch.model.name, self._address) from error
        return Answer(read_response(batch.model, batch.rows, response), response.model_version)

    async def ready(self, model: str, version: str, seconds: float) -> bool:
        """Triton says so for a model that is loaded; MLServer raises for one that is not."""
        try:
            answer = await self._ready(service_pb2.ModelReadyRequest(name=model, version=version), timeout=seconds)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def close(self, grace: float | None = None) -> None:
        """Let the server unmap our memory, unless calls may still use it."""
        if grace is None:
            await self.shared.close()
        await self.channel.close(grace=grace)

    async def _call(self, batch: Batch, seconds: float) -> service_pb2.ModelInferResponse:
        region = await self.shared.take(batch.model, batch.rows, batch.nbytes)
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
