"""JSON-valued features: the same value gives the same bytes, and nothing slips through as something else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import Permanent
from materials.records import Feature
from model_plugins.features import json_feature

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    LEAVES | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc中", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_packed_comes_back(value: Any) -> None:
    feature = json_feature.pack("words", value)
    assert (feature.schema, feature.dtype, feature.shape) == ("words", "uint8", (len(feature.data),))
    assert json_feature.unpack(feature) == value
    assert feature.array().tobytes() == feature.data == json_feature.as_array(value).tobytes()


def test_the_order_of_keys_is_no_part_of_the_value() -> None:
    one = json_feature.pack("a", {"b": [1], "a": {"d": 1, "c": 2}})
    other = json_feature.pack("a", {"a": {"c": 2, "d": 1}, "b": [1]})
    assert one == other
    assert one.data == b'{"a":{"c":2,"d":1},"b":[1]}'


@pytest.mark.parametrize("value", [float("nan"), {"score": float("inf")}, [[float("-inf")]], [object()]])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(Permanent, match="schema 'x'"):
        json_feature.pack("x", value)


def test_too_much_is_refused() -> None:
    json_feature.pack("x", "a" * (json_feature.MAX_BYTES - 2))
    with pytest.raises(Permanent, match="the limit is 65536"):
        json_feature.pack("x", "a" * (json_feature.MAX_BYTES - 1))


@pytest.mark.parametrize(
    "feature",
    [
        Feature(schema="x", dtype="uint8", shape=(3,), data=b'{"a'),
        Feature(schema="x", dtype="uint8", shape=(2, 1), data=b"[]"),
        Feature(schema="x", dtype="float32", shape=(1,), data=b"1234"),
        Feature(schema="x", dtype="uint8", shape=(3,), data=b'"\xff"'),
    ],
)
def test_a_feature_without_json_is_named(feature: Feature) -> None:
    with pytest.raises(Permanent, match="schema 'x'"):
        json_feature.unpack(feature)
