"""Arrays between two processes, in an anonymous file that both map.

Messages are small and travel over a SOCK_SEQPACKET pair; arrays never pass the socket: one side writes them here, and
its message says where they lie (`ArrayRef`). There is one exchange at a time, so the memory needs no lock. Either side
may be in error or lie: a reader checks every reference, and what it reads is a copy.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

MAX_MESSAGE = 64 * 1024
"""Bytes; well below the send buffer of a local socket."""

_ALIGNMENT = 64
_INITIAL = 1024 * 1024
_GIVE_BACK = 8 * 1024 * 1024


class ArrayRef(msgspec.Struct, frozen=True, array_like=True):
    """An array in the shared memory: C order, `offset` in bytes."""

    plugin: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


class SharedMemory:
    """An anonymous file that grows and never shrinks, so that reading from it cannot fault."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._size = os.fstat(fd).st_size
        self._map = mmap.mmap(fd, self._size)

    @classmethod
    def create(cls) -> SharedMemory:
        """A new one, closed on exec unless handed on."""
        fd = os.memfd_create("sosie-arrays", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _INITIAL)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return cls(fd)

    def close(self) -> None:
        """Unmap and close."""
        self._map.close()
        os.close(self.fd)

    def write(self, tensors: Iterable[tuple[str, str, NDArray[Any]]]) -> tuple[ArrayRef, ...]:
        """Lay (plug-in, name, array) one after the other; the array's own byte order is kept.

        Raises:
            TypeError: an array holds Python objects.
        """
        refs: list[ArrayRef] = []
        arrays: list[NDArray[Any]] = []
        end = 0
        for plugin, name, array in tensors:
            if array.dtype.hasobject or array.dtype.names:
                raise TypeError(f"{plugin}.{name} has dtype {array.dtype}: only plain numbers and bytes can be sent")
            refs.append(ArrayRef(plugin, name, array.dtype.str, tuple(array.shape), end))
            arrays.append(array)
            end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        if end > self._size:
            size = os.fstat(self.fd).st_size  # the other side may have made it longer, and it cannot shrink
            if end > size:
                os.ftruncate(self.fd, max(end, 2 * size))
            self._remap()
        for ref, array in zip(refs, arrays, strict=True):
            np.ndarray(array.shape, array.dtype, buffer=self._map, offset=ref.offset)[...] = array
        return tuple(refs)

    def read(self, refs: Iterable[ArrayRef]) -> list[NDArray[Any]]:
        """Copies of the arrays.

        Raises:
            ValueError: a reference leads out of the memory or is not of a plain dtype.
        """
        plain = [(ref, np.dtype(ref.dtype)) for ref in refs]
        ends = [ref.offset + math.prod(ref.shape) * dtype.itemsize for ref, dtype in plain]
        end = max(ends, default=0)
        if end > self._size:
            self._remap()
        if end > self._size or any(ref.offset < 0 or min(ref.shape, default=0) < 0 or d.hasobject for ref, d in plain):
            raise ValueError("a reference leads out of the shared memory")
        arrays: list[NDArray[Any]] = [
            np.ndarray(ref.shape, dtype, self._map, ref.offset).copy() for ref, dtype in plain
        ]
        if end > _GIVE_BACK:  # a long video's frames need not occupy memory until the next one
            self._map.madvise(mmap.MADV_REMOVE)
        return arrays

    def _remap(self) -> None:
        self._map.close()
        self._size = os.fstat(self.fd).st_size
        self._map = mmap.mmap(self.fd, self._size)
