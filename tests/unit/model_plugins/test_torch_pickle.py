"""A state dict is read without PyTorch, and a hostile one is refused before anything of it runs."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from model_plugins.recipes.torch_pickle import UnsafePickle, read_state_dict


def body(value: object) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


Ints = tuple[int, ...]


def tensor(key: str, count: int, shape: Ints, strides: Ints, kind: str, *, offset: int = 0) -> bytes:
    storage = b"(" + body("storage") + named("torch", kind) + body(key) + body("cpu") + body(count) + body(None) + b"tQ"
    hooks = named("collections", "OrderedDict") + b")R"
    return (
        named("torch._utils", "_rebuild_tensor_v2")
        + b"(" + storage + body(offset) + body(shape) + body(strides) + body(False) + hooks + b"tR"
    )  # fmt: skip


def legacy_file(tensors: dict[str, bytes], storages: dict[str, NDArray[np.generic]]) -> bytes:
    """The bytes that `torch.save(dict, _use_new_zipfile_serialization=False)` writes."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    items = b"".join(body(name) + value for name, value in tensors.items())
    out = b"".join(pickle.dumps(value, 2) for value in head)
    out += b"\x80\x02}(" + items + b"u." + pickle.dumps(list(storages), 2)
    return out + b"".join(np.int64(flat.size).tobytes() + flat.tobytes() for flat in storages.values())


def saved(array: NDArray[np.float32], name: str = "w") -> bytes:
    strides = tuple(step // array.itemsize for step in array.strides)
    return legacy_file({name: tensor("0", array.size, array.shape, strides, "FloatStorage")}, {"0": array.ravel()})


@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)))
def test_what_was_saved_is_read(array: NDArray[np.float32]) -> None:
    read = read_state_dict(saved(np.ascontiguousarray(array).reshape(array.shape)))
    assert list(read) == ["w"]
    assert read["w"].dtype == np.float32
    assert read["w"].shape == array.shape
    assert read["w"].tobytes() == array.tobytes()


def test_shared_storages_strides_and_integers() -> None:
    flat, count = np.arange(12, dtype=np.float32), np.array([7], np.int64)
    data = legacy_file(
        {
            "transposed": tensor("a", 12, (4, 3), (1, 4), "FloatStorage"),
            "tail": tensor("a", 12, (2,), (1,), "FloatStorage", offset=10),
            "count": tensor("b", 1, (), (), "LongStorage"),
        },
        {"a": flat, "b": count},
    )
    read = read_state_dict(data)
    np.testing.assert_array_equal(read["transposed"], flat.reshape(3, 4).T)
    np.testing.assert_array_equal(read["tail"], [10, 11])
    assert int(read["count"]) == 7


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("place", ["magic", "system", "dict", "keys"])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path, place: str) -> None:
    proof = tmp_path / "pwned"
    evil = pickle.dumps(Hostile(proof), 2)
    honest = saved(np.zeros(3, np.float32))
    pieces = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)]
    if place == "magic":
        data = evil
    elif place == "system":
        data = b"".join(pieces) + evil
    elif place == "dict":
        data = b"".join(pieces) + pickle.dumps({"little_endian": True}, 2) + evil
    else:
        data = honest.replace(pickle.dumps(["0"], 2), evil)
        assert evil in data
    with pytest.raises(UnsafePickle, match=r"posix\.mkdir"):
        read_state_dict(data)
    assert not proof.exists()
    pickle.loads(evil)  # the same bytes do harm where nobody refuses them
    assert proof.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("builtins", "getattr"), ("torch", "load"), ("torch._utils", "_rebuild_parameter")],
)
def test_other_names_are_refused(module: str, name: str) -> None:
    with pytest.raises(UnsafePickle, match=name):
        read_state_dict(legacy_file({"w": named(module, name)}, {}))


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((5,), (1,), 0), ((2, 2), (3, 1), 0), ((1,), (1,), 4), ((2,), (-1,), 1), ((-1,), (1,), 0), ((2, 2), (1,), 0)],
)
def test_a_tensor_cannot_reach_out_of_its_storage(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    data = legacy_file(
        {"w": tensor("0", 4, shape, strides, "FloatStorage", offset=offset)}, {"0": np.zeros(4, np.float32)}
    )
    with pytest.raises(UnsafePickle):
        read_state_dict(data)


@pytest.mark.parametrize("bomb", [b"r" + (1 << 24).to_bytes(4, "little"), b"\x96" + (1 << 26).to_bytes(8, "little")])
def test_a_few_bytes_cannot_ask_for_much_memory(bomb: bytes) -> None:
    """A memo index (LONG_BINPUT) and an announced length (BYTEARRAY8)."""
    data = saved(np.arange(6, dtype=np.float32)).replace(b"\x80\x02}(", b"\x80\x02}" + bomb + b"(")
    tracemalloc.start()
    try:
        with suppress(UnsafePickle):
            read_state_dict(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_tensor_cannot_repeat_its_storage() -> None:
    data = legacy_file({"w": tensor("0", 1, (1 << 40,), (0,), "FloatStorage")}, {"0": np.zeros(1, np.float32)})
    with pytest.raises(UnsafePickle, match="repeats"):
        read_state_dict(data)


@settings(max_examples=200)
@given(st.integers(min_value=0, max_value=400))
def test_a_truncated_file_is_refused(cut: int) -> None:
    data = saved(np.arange(6, dtype=np.float32))
    with pytest.raises(UnsafePickle):
        read_state_dict(data[: cut % len(data)])


@settings(max_examples=300)
@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=0, max_value=255))
def test_a_damaged_byte_is_read_or_refused_and_nothing_else(position: int, value: int) -> None:
    data = bytearray(saved(np.arange(6, dtype=np.float32)))
    data[position % len(data)] = value
    try:
        read = read_state_dict(bytes(data))
    except UnsafePickle:
        return
    assert all(isinstance(array, np.ndarray) for array in read.values())
