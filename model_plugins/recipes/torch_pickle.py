"""Read the tensors of a PyTorch state dict without PyTorch, and without running what a pickle asks for.

Format: `torch.save` before PyTorch 1.6 (`torch/serialization.py`, `_legacy_save`): three small pickles (magic number,
protocol, system), the pickled dict whose tensors refer to storages by key, the list of keys, then each storage as its
element count (int64) and its raw elements.

A pickle is a program: it may name any callable of any installed module. Here it may name four.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from typing import Any, BinaryIO, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.errors import SosieError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class UnsafePickle(SosieError):
    """The pickle is malformed or names something other than tensors, storages and OrderedDict."""


class _Storage(msgspec.Struct):
    dtype: str
    count: int


class _Tensor(msgspec.Struct):
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Reference(msgspec.Struct):
    key: str


def _rebuild_tensor(
    storage: object, offset: object, shape: object, strides: object, _grad: object = None, _hooks: object = None
) -> _Tensor:
    if not isinstance(storage, _Reference):
        raise UnsafePickle("a tensor does not refer to a storage")
    return msgspec.convert({"key": storage.key, "offset": offset, "shape": shape, "strides": strides}, _Tensor)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): "FloatStorage",
    ("torch", "LongStorage"): "LongStorage",
}


class _RestrictedUnpickler(pickle._Unpickler):
    """Python's own unpickler and not the C one, whose memo grows to whatever index a damaged byte names: gigabytes."""

    dispatch: ClassVar[dict[int, Any]] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnsafePickle(f"the pickle asks for {module}.{name}, which no tensor needs") from None

    def persistent_load(self, pid: Any) -> _Reference:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or pid[1] not in _STORAGES:
            raise UnsafePickle(f"unknown persistent object {str(pid)[:80]}")
        key, count = str(pid[2]), int(pid[4])
        self._storages.setdefault(key, _Storage(pid[1], count))
        return _Reference(key)


def _load(file: BinaryIO, storages: dict[str, _Storage] | None = None) -> Any:
    return _RestrictedUnpickler(file, {} if storages is None else storages).load()


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise UnsafePickle("the file ends inside a storage")
    return data


def _view(tensor: _Tensor, flat: NDArray[Any]) -> NDArray[Any]:
    """The tensor's elements, copied; strides are in elements and must stay inside the storage."""
    if len(tensor.shape) != len(tensor.strides) or min((tensor.offset, *tensor.shape, *tensor.strides)) < 0:
        raise UnsafePickle(f"impossible tensor shape {tensor.shape} with strides {tensor.strides}")
    if math.prod(tensor.shape) > flat.size:
        raise UnsafePickle(f"a tensor of shape {tensor.shape} repeats a storage of {flat.size} elements")
    if 0 in tensor.shape:
        return np.empty(tensor.shape, flat.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if last >= flat.size:
        raise UnsafePickle(f"a tensor reaches to element {last} of a storage of {flat.size}")
    strides = [step * flat.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides, writeable=False).copy()


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """Name -> array (float32 or int64), in the file's order.

    Raises:
        UnsafePickle: not such a file, truncated, or it asks for anything but tensors.
    """
    file = io.BytesIO(data)
    try:
        if _load(file) != _MAGIC or _load(file) != _PROTOCOL or not _load(file).get("little_endian"):
            raise UnsafePickle("not a little-endian state dict of the legacy format")
        storages: dict[str, _Storage] = {}
        tensors = _load(file, storages)
        if not isinstance(tensors, dict) or not all(isinstance(value, _Tensor) for value in tensors.values()):
            raise UnsafePickle("not a dict of tensors")
        flats: dict[str, NDArray[Any]] = {}
        for key in map(str, _load(file)):
            storage = storages[key]
            if int.from_bytes(_exactly(file, 8), "little") != storage.count:
                raise UnsafePickle(f"storage {key} has another length than its tensors say")
            dtype = _STORAGES[storage.dtype]
            flats[key] = np.frombuffer(_exactly(file, storage.count * dtype.itemsize), dtype)
        return {str(name): _view(tensor, flats[tensor.key]) for name, tensor in tensors.items()}
    except UnsafePickle:
        raise
    except Exception as error:  # a damaged pickle is a damaged program: it may fail in any way
        raise UnsafePickle(f"not a readable state dict: {error}") from error
