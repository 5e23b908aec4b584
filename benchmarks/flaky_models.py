"""A model server whose calls fail at random: a proxy before a real one, which refuses a share of its inferences."""

from __future__ import annotations

import random
import threading
from concurrent import futures
from types import TracebackType
from typing import Any

import grpc

SERVICE = "/inference.GRPCInferenceService/"
INFER = SERVICE + "ModelInfer"
_LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class FlakyModels:
    """Listens on 127.0.0.1 and passes every unary call on, but for those that fail.

    Args:
        upstream: the model server's gRPC listener, `host:port`.
        share: of the inferences that are refused with INTERNAL, 0..1.
        seed: which ones.
    """

    def __init__(self, upstream: str, share: float, seed: int = 0) -> None:
        self.share = share
        self.calls = 0
        self.failed = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._channel = grpc.insecure_channel(upstream, options=_LARGE)
        self._server = grpc.server(futures.ThreadPoolExecutor(16), options=_LARGE)
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> FlakyModels:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def answer(self, method: str, request: bytes, context: Any) -> bytes:
        """The server's answer, or an error."""
        if method == INFER and self._fails():
            context.abort(grpc.StatusCode.INTERNAL, "refused at random")
        call = self._channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        try:
            answer: bytes = call(request, timeout=context.time_remaining())
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        return answer

    def _fails(self) -> bool:
        with self._lock:
            self.calls += 1
            fails = self._random.random() < self.share
            self.failed += fails
            return fails


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, proxy: FlakyModels) -> None:
        self._proxy = proxy

    def service(self, details: Any) -> Any:
        """All methods alike, as bytes."""
        method = details.method

        def handle(request: bytes, context: Any) -> bytes:
            return self._proxy.answer(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=None, response_serializer=None)
