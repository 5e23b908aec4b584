"""The memory that parent and child share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from pipeline.media.wire import ArrayRef, SharedMemory


@pytest.fixture
def ends() -> Iterator[tuple[SharedMemory, SharedMemory]]:
    reader = SharedMemory.create()
    writer = SharedMemory(os.dup(reader.fd))
    yield writer, reader
    writer.close()
    reader.close()


plain = arrays.arrays(
    st.sampled_from(["u1", "<i4", ">f4", "<f8", "?", "S5"]), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)
)


@given(st.lists(plain, max_size=4))
def test_what_is_written_is_read(tensors: list[NDArray[np.generic]]) -> None:
    memory = SharedMemory.create()
    try:
        refs = memory.write(("p", str(index), np.array(array, order="F")) for index, array in enumerate(tensors))
        for expected, array in zip(tensors, memory.read(refs), strict=True):
            assert array.dtype == expected.dtype
            assert array.shape == expected.shape
            assert array.tobytes() == expected.tobytes()
            assert array.flags.writeable
    finally:
        memory.close()


def test_it_grows_for_both_and_what_was_read_stays(ends: tuple[SharedMemory, SharedMemory]) -> None:
    writer, reader = ends
    for size in (10, 3_000_000, 20_000_000, 10):
        first = np.arange(size, dtype=np.uint8)
        (copy,) = reader.read(writer.write([("p", "x", first)]))
        writer.write([("p", "x", np.zeros(size, np.uint8))])
        assert (copy == first).all()


def test_it_cannot_shrink(ends: tuple[SharedMemory, SharedMemory]) -> None:
    writer, _ = ends
    with pytest.raises(PermissionError):
        os.ftruncate(writer.fd, 10)


def test_objects_are_refused(ends: tuple[SharedMemory, SharedMemory]) -> None:
    with pytest.raises(TypeError, match=r"p\.x has dtype object"):
        ends[0].write([("p", "x", np.array([object()]))])


@pytest.mark.parametrize(
    "ref",
    [
        ArrayRef("p", "x", "u1", (10**9,), 0),
        ArrayRef("p", "x", "u1", (1,), 10**9),
        ArrayRef("p", "x", "u1", (1,), -1),
        ArrayRef("p", "x", "u1", (-1,), 0),
        ArrayRef("p", "x", "O", (1,), 0),
    ],
)
def test_references_that_lead_out_are_refused(ends: tuple[SharedMemory, SharedMemory], ref: ArrayRef) -> None:
    with pytest.raises(ValueError, match="leads out"):
        ends[1].read([ref])
