"""Stored vectors at full or half precision, for exact scores of what the codes found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vector_index.segments.arrays import Matrix, Places

HALF = np.dtype("<f2")
FULL = np.dtype("<f4")


def dots(left: Matrix, right: Matrix) -> NDArray[np.float32]:
    """Inner products [n] of the rows of two matrices [n, d]; of equal rows the same to the last bit, which a product
    of matrices does not promise."""
    return np.asarray(np.einsum("id,id->i", left, right), np.float32)


class ExactVectors(Protocol):
    """Vectors by their place in a segment."""

    def take(self, places: Places) -> Matrix:
        """float32 [n, d]."""
        ...

    def all(self) -> NDArray[np.float16] | Matrix:
        """Everything [n, d], in its stored precision; a view where that is possible."""
        ...


class InMemory:
    """An array [n, d]."""

    def __init__(self, vectors: NDArray[np.float16] | Matrix) -> None:
        self._vectors = vectors

    def take(self, places: Places) -> Matrix:
        """float32 [n, d]."""
        return self._vectors[places].astype(np.float32)

    def all(self) -> NDArray[np.float16] | Matrix:
        """The array itself."""
        return self._vectors


class OnDisk:
    """A file of vectors, read by place.

    Not mapped: the page cache holds what is read often, and the process stays small (measured: 0.03 ms a query
    against 0.02 mapped, where two thirds of the process's memory would be this file).
    """

    def __init__(self, path: Path, dim: int, dtype: np.dtype[np.float16] | np.dtype[np.float32]) -> None:
        self._path = path
        self._dim = dim
        self._dtype = dtype
        self._width = dim * dtype.itemsize
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        descriptor, self._descriptor = getattr(self, "_descriptor", -1), -1
        if descriptor >= 0:
            os.close(descriptor)

    def take(self, places: Places) -> Matrix:
        """float32 [n, d].

        Raises:
            OSError: the file cannot be read, or is shorter than it was.
        """
        width, descriptor, pread = self._width, self._descriptor, os.pread
        joined = b"".join([pread(descriptor, width, offset) for offset in (places * width).tolist()])
        if len(joined) != len(places) * width:
            raise OSError(f"{self._path} is shorter than its segment says")
        return np.frombuffer(joined, self._dtype).reshape((len(places), self._dim)).astype(np.float32)

    def all(self) -> NDArray[np.float16] | Matrix:
        """The whole file, mapped."""
        if not os.fstat(self._descriptor).st_size:
            empty: Matrix = np.zeros((0, self._dim), np.float32)
            return empty
        mapped: Any = np.memmap(self._path, self._dtype, "r").reshape((-1, self._dim))
        whole: Matrix = mapped
        return whole
