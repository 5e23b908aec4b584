"""Features whose values are words, boxes and scores: UTF-8 JSON in a uint8 array, under a schema named by its meaning.

The bytes are a function of the value alone: keys sorted, no spaces, no escapes beyond JSON's own. The shape of each
schema's JSON stands in `docs/features.md`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from materials.errors import Permanent
from materials.records import Feature

MAX_BYTES = 65_536
"""Of one feature; it goes to Redis, to the index and into the outcome's summary."""

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


def pack(schema: str, value: Any) -> Feature:
    """JSON-able value -> feature (uint8, shape (bytes,)).

    Raises:
        Permanent: `value` is no JSON (a not-a-number, an object of some class), or takes more than `MAX_BYTES`.
    """
    _check_finite(schema, value)
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise Permanent(f"a value of schema {schema!r} cannot be written as JSON: {error}") from error
    if len(data) > MAX_BYTES:
        raise Permanent(f"a value of schema {schema!r} takes {len(data)} bytes; the limit is {MAX_BYTES}")
    return Feature(schema=schema, dtype="uint8", shape=(len(data),), data=data)


def unpack(feature: Feature) -> Any:
    """The value that `pack` was given; structs come back as mappings, tuples as lists.

    Raises:
        Permanent: the feature holds no JSON.
    """
    if feature.dtype != "uint8" or feature.shape != (len(feature.data),):
        raise Permanent(f"a feature of schema {feature.schema!r} is {feature.dtype} {feature.shape}, not JSON bytes")
    try:
        return _decoder.decode(feature.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Permanent(f"a feature of schema {feature.schema!r} holds no JSON: {error}") from error


def as_array(value: Any) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The same JSON as a uint8 array [bytes]: what `prepare` of a plug-in without a model hands to `interpret`.

    Raises:
        Permanent: as `pack`.
    """
    return np.frombuffer(pack("value", value).data, dtype=np.uint8)


def _check_finite(schema: str, value: Any) -> None:
    """msgspec writes not-a-number as null: a wrong score would pass as a missing one."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Permanent(f"a value of schema {schema!r} holds {value}")
    if isinstance(value, dict):
        for item in value.values():
            _check_finite(schema, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_finite(schema, item)
