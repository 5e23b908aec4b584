"""Tensors for a model server on the same host, through POSIX shared memory instead of the socket (Triton's system
shared memory extension).

A batch of eight pictures is 1.2 MB: sending it costs half a millisecond of CPU a picture on the two sides together,
laying it into memory that the server has mapped a tenth of that. Answers are small and come back in the message.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import structlog
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from model_plugins.protocol import ModelRef
from model_plugins.transports.kserve import numpy_dtype

_SERVICE = "/inference.GRPCInferenceService/"
_FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies on Linux
_WORTH_IT = 256 * 1024
"""Bytes; below, the socket is as cheap."""
_SMALLEST = 1 << 20
_REGISTER_SECONDS = 2.0
_UNMAP_PAUSES = (0.0, 0.01, 0.05, 0.2)
_LOCAL_HOSTS = ("127.", "localhost:", "[::1]:")
_log = structlog.get_logger(__name__)


class Region:
    """A piece of memory that both sides have mapped, for one call at a time."""

    def __init__(self, size: int) -> None:
        self.name = f"sosie-{uuid.uuid4().hex}"
        self.size = size
        descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)

    @property
    def path(self) -> Path:
        """Its file; it goes as soon as the server has opened it, so that nothing is left of a process that dies."""
        return _FOLDER / self.name

    def lay(self, model: ModelRef, rows: int, pieces: Mapping[str, Sequence[NDArray[Any]]]) -> Any:
        """Copy the tensors in, one input behind the other, and return the `ModelInferRequest` that points at them."""
        memory = np.frombuffer(self._map, np.uint8)
        request = service_pb2.ModelInferRequest(model_name=model.name, model_version=model.version)
        start = 0
        for name, (dtype, _) in model.inputs.items():
            end = start
            for piece in pieces[name]:
                flat = piece.reshape(-1).view(np.uint8)
                memory[end : end + flat.nbytes] = flat
                end += flat.nbytes
            tensor = request.inputs.add()
            tensor.name, tensor.datatype = name, dtype
            tensor.shape.extend((rows, *pieces[name][0].shape[1:]))
            tensor.parameters["shared_memory_region"].string_param = self.name
            tensor.parameters["shared_memory_byte_size"].int64_param = end - start
            if start:
                tensor.parameters["shared_memory_offset"].int64_param = start
            start = end
        for name in model.outputs:
            request.outputs.add().name = name
        return request


class SharedTensors:
    """The regions that one channel's server has mapped; grows to as many as calls are under way.

    A server that does not know the extension, or that does not share our memory, is not asked twice. Regions of a
    process that was killed stay mapped in the server until that ends.
    """

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self._usable = address.startswith(_LOCAL_HOSTS) and _FOLDER.is_dir()
        self._free: list[Region] = []
        self._all: set[str] = set()
        self._register = channel.unary_unary(
            f"{_SERVICE}SystemSharedMemoryRegister",
            request_serializer=service_pb2.SystemSharedMemoryRegisterRequest.SerializeToString,
            response_deserializer=service_pb2.SystemSharedMemoryRegisterResponse.FromString,
        )
        self._unregister = channel.unary_unary(
            f"{_SERVICE}SystemSharedMemoryUnregister",
            request_serializer=service_pb2.SystemSharedMemoryUnregisterRequest.SerializeToString,
            response_deserializer=service_pb2.SystemSharedMemoryUnregisterResponse.FromString,
        )

    async def take(self, model: ModelRef, rows: int, size: int | None = None) -> Region | None:
        """A region for a call's inputs, or None: then they go through the socket.

        Args:
            size: bytes of all inputs together; needed where the model's shapes vary.
        """
        if not self._usable:
            return None
        needed = rows * _row_bytes(model) if size is None else size
        if needed < _WORTH_IT:
            return None
        for place, region in enumerate(self._free):
            if region.size >= needed:
                return self._free.pop(place)
        return await self._make(max(_SMALLEST, 1 << (needed - 1).bit_length()))

    def give_back(self, region: Region) -> None:
        """The call ended; one that timed out may still be read by the server, whose answer nobody waits for."""
        if region.name in self._all:
            self._free.append(region)

    def forget(self) -> None:
        """The server started anew and has mapped nothing."""
        self._free.clear()
        self._all.clear()

    async def close(self) -> None:
        """Let the server unmap what no call uses any more. The rest stays mapped until the server ends."""
        names = [region.name for region in self._free if region.name in self._all]
        self.forget()
        for pause in _UNMAP_PAUSES:
            await asyncio.sleep(pause)
            names = [name for name in names if not await self._unmap(name)]
            if not names:
                return

    async def _unmap(self, name: str) -> bool:
        """False: the server lets go of a region a moment after its answer, or still works on a call given up."""
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        try:
            await self._unregister(request, timeout=_REGISTER_SECONDS)
        except grpc.aio.AioRpcError as error:
            return "in use" not in (error.details() or "")
        return True

    async def _make(self, size: int) -> Region | None:
        try:
            region = Region(size)
        except OSError as error:
            self._refuse(f"no shared memory: {error}")
            return None
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=region.name, key=f"/{region.name}", offset=0, byte_size=size
        )
        try:
            await self._register(request, timeout=_REGISTER_SECONDS)
        except grpc.aio.AioRpcError as error:
            # A server that is down just now is the call's own business; any other answer is about shared memory.
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self._refuse(error.details() or error.code().name)
            return None
        finally:
            region.path.unlink(missing_ok=True)
        self._all.add(region.name)
        return region

    def _refuse(self, why: str) -> None:
        self._usable = False
        _log.info("tensors_through_the_socket", reason=why)


def is_unmapped(error: grpc.aio.AioRpcError) -> bool:
    """The server does not know the region (any more)."""
    return "shared memory region" in (error.details() or "").lower()


def _row_bytes(model: ModelRef) -> int:
    return sum(numpy_dtype(dtype).itemsize * math.prod(shape) for dtype, shape in model.inputs.values())
