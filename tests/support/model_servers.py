"""A real ZooKeeper that can be killed and come back on its port, and a real KServe gRPC server in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.killable_zookeeper import KillableZooKeeper


def wait_until(condition: Callable[[], Any], timeout: float = 20.0, what: str = "") -> None:
    """Look often until the condition holds.

    Raises:
        AssertionError: it does not within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what or condition}"
        pause.wait(0.02)


ZooKeeper = KillableZooKeeper


class KServe(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A model server that answers as Triton does. `double` returns twice its input; `fault` aborts the next calls.

    It is the real protocol over a real socket; what it lacks is a model worth the name.
    """

    def __init__(self, models: tuple[str, ...] = ("double",), port: int = 0) -> None:
        self.models = list(models)
        self.ready = True
        self.batches: list[int] = []
        self.fault: tuple[grpc.StatusCode, str] | None = None
        self.answer: Callable[[service_pb2.ModelInferRequest], service_pb2.ModelInferResponse] = _double
        self.hang = threading.Event()
        self.hang.set()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        self.hang.set()
        self._server.stop(None).wait()

    def ServerReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=self.ready)

    def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=request.name in self.models)

    def ModelConfig(self, request: Any, context: Any) -> Any:
        response = service_pb2.ModelConfigResponse()
        response.config.max_batch_size = 4
        return response

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        response = service_pb2.RepositoryIndexResponse()
        for name in self.models:
            response.models.add(name=name, version="1", state="READY")
        return response

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.hang.wait(30)
        if self.fault is not None:
            context.abort(*self.fault)
        if request.model_name not in self.models:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.model_name}' is not found")
        self.batches.append(request.inputs[0].shape[0])
        return self.answer(request)


def _double(request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
    response = service_pb2.ModelInferResponse(model_name=request.model_name)
    tensor = request.inputs[0]
    response.outputs.add(name="out", datatype=tensor.datatype, shape=tensor.shape)
    values = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
    response.raw_output_contents.append(values.tobytes())
    return response
