"""Malformed calls of the index service, from a seed: random bytes, broken messages, whole messages with wild values."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import msgspec

from vector_index.gatekeeper import SERVICE
from vector_index.proto import index_pb2 as pb

WILD_TEXT = (
    "",
    "a",
    "\x00",
    "\x1b[31m",
    "é" * 300,
    "P/0",
    "..",
    "x" * 5000,
    "𝕏",
    "feed",
    "copyright",
    "-1",
    "' OR 1=1",
)
WILD_INT = (-(2**63), -1, 0, 1, 2, 1000, 1001, 2**31 - 1, 2**31, 2**62, 2**62 + 1, 2**63 - 1)
WILD_FLOAT = (0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"), 5e-324)
WILD_DTYPE = ("float32", "float64", "uint8", "object", "O", "V8", "U1", "", "float33", "datetime64", "complex64", ">f4")
WILD_SCHEMA = ("vector", "timed-vectors", "keypoints", "pdq", "", "x", "post-parts")
METHODS = tuple(method.name for method in pb.DESCRIPTOR.services_by_name["VectorIndex"].methods)


class Call(msgspec.Struct, frozen=True):
    """One call: the full method name, the request's bytes, and whether the token is shown."""

    method: str
    body: bytes
    token: bool


def calls(seed: int, count: int, item: pb.Item) -> Iterator[Call]:
    """`count` calls, about; the same for the same seed.

    Args:
        item: a sound one, of which the broken ones are made.
    """
    rng = random.Random(seed)
    for number in range(count):
        name = rng.choice((*METHODS, "Assign", "Assign", "Search", "Enrich"))
        shape = rng.randrange(4)
        if shape == 0:
            body = rng.randbytes(rng.choice((0, 1, 7, 100, 4000)))
        elif shape == 1:
            body = _broken(rng, _sound(name, item, number))
        else:
            body = _wild(rng, name, item, number)
        method = (
            f"/{SERVICE}/{name}" if rng.random() > 0.03 else rng.choice((f"/{SERVICE}/Nothing", "/x/y", f"/{SERVICE}/"))
        )
        yield Call(method, body, rng.random() > 0.1)


def _request_class(name: str) -> type:
    kind: type = getattr(pb, pb.DESCRIPTOR.services_by_name["VectorIndex"].methods_by_name[name].input_type.name)
    return kind


def _sound(name: str, item: pb.Item, number: int) -> bytes:
    one = pb.Item()
    one.CopyFrom(item)
    one.material_id = f"fuzz-{number}"
    if name == "Assign":
        return pb.AssignRequest(items=[one]).SerializeToString()
    if name == "Search":
        return pb.SearchRequest(item=one, k=3).SerializeToString()
    request = _request_class(name)()
    for field in request.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING and field.label != field.LABEL_REPEATED:
            setattr(request, field.name, "feed")
    return bytes(request.SerializeToString())


def _broken(rng: random.Random, body: bytes) -> bytes:
    data = bytearray(body)
    for _ in range(rng.randint(1, 6)):
        if not data:
            return rng.randbytes(3)
        place = rng.randrange(len(data))
        act = rng.randrange(4)
        if act == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif act == 1:
            del data[place : place + rng.randint(1, 9)]
        elif act == 2:
            data[place:place] = rng.randbytes(rng.randint(1, 9))
        else:
            del data[place:]
    return bytes(data)


def _wild(rng: random.Random, name: str, item: pb.Item, number: int) -> bytes:
    if name in ("Assign", "Search", "SearchBatch"):
        one = _wild_item(rng, item, number)
        if name == "Assign":
            items = [one] * rng.choice((1, 1, 1, 2, 1025 if rng.random() < 0.05 else 3))
            return pb.AssignRequest(items=items).SerializeToString()
        search = pb.SearchRequest(item=one, k=_int32(rng))
        if name == "Search":
            return search.SerializeToString()
        return pb.SearchBatchRequest(requests=[search] * rng.choice((0, 1, 2, 65))).SerializeToString()
    request = _request_class(name)()
    _fill(rng, request, 0)
    return bytes(request.SerializeToString())


def _wild_item(rng: random.Random, item: pb.Item, number: int) -> pb.Item:
    one = pb.Item()
    one.CopyFrom(item)
    one.material_id = f"fuzz-{number}"
    for _ in range(rng.randint(1, 3)):
        _twist(rng, one)
    if rng.random() < 0.2:
        part = one.parts.add()
        part.CopyFrom(item)
        part.material_id = rng.choice((f"{one.material_id}/0", "elsewhere/0", "", f"{one.material_id}/"))
        if rng.random() < 0.7:
            one.kind = "post"
        if rng.random() < 0.5:
            _twist(rng, part)
    return one


def _twist(rng: random.Random, one: pb.Item) -> None:
    act = rng.randrange(9)
    text = rng.choice(WILD_TEXT)
    if act == 0:
        setattr(one, rng.choice(("material_id", "kind", "policy", "text", "biz", "op")), text)
    elif act == 1:
        one.fingerprint = rng.randbytes(rng.choice((0, 1, 15, 17, 1000)))
    elif act == 2:
        one.revision = rng.choice(WILD_INT)
    elif act == 3:
        one.created_at = rng.choice(WILD_FLOAT)
    elif act == 4:
        one.features[text or "@"].CopyFrom(next(iter(one.features.values()), pb.Feature()))
    else:
        _twist_feature(rng, one.features[rng.choice((*one.features, "image-embedding@1"))])


def _twist_feature(rng: random.Random, feature: pb.Feature) -> None:
    act = rng.randrange(5)
    if act == 0:
        feature.schema = rng.choice(WILD_SCHEMA)
    elif act == 1:
        feature.dtype = rng.choice(WILD_DTYPE)
    elif act == 2:
        del feature.shape[:]
        feature.shape.extend(rng.choice(WILD_INT) for _ in range(rng.choice((0, 1, 2, 3, 40))))
    elif act == 3:
        feature.data = rng.randbytes(rng.choice((0, 1, 3, len(feature.data), 4096)))
    else:
        values = [rng.choice(WILD_FLOAT[:2] + WILD_FLOAT[3:]) for _ in range(max(1, len(feature.data) // 4))]
        feature.data = struct.pack(f"<{len(values)}f", *values)


def _fill(rng: random.Random, message: object, depth: int) -> None:
    """Wild values in the fields of any message."""
    for field in message.DESCRIPTOR.fields:  # type: ignore[attr-defined]
        if rng.random() < 0.2 or (field.type == field.TYPE_MESSAGE and depth > 2):
            continue
        count = rng.choice((0, 1, 2, 30)) if field.label == field.LABEL_REPEATED else 1
        if field.type == field.TYPE_MESSAGE:
            if field.message_type.GetOptions().map_entry:
                continue
            for _ in range(min(count, 3)):
                held = getattr(message, field.name)
                _fill(rng, held.add() if field.label == field.LABEL_REPEATED else held, depth + 1)
            continue
        values = [_value(rng, field) for _ in range(count)]
        if field.label == field.LABEL_REPEATED:
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[0])


def _value(rng: random.Random, field: object) -> object:
    kind = field.type  # type: ignore[attr-defined]
    if kind == field.TYPE_STRING:  # type: ignore[attr-defined]
        return rng.choice(WILD_TEXT)
    if kind == field.TYPE_BYTES:  # type: ignore[attr-defined]
        return rng.randbytes(rng.choice((0, 16, 100)))
    if kind == field.TYPE_BOOL:  # type: ignore[attr-defined]
        return rng.random() < 0.5
    if kind in (field.TYPE_DOUBLE, field.TYPE_FLOAT):  # type: ignore[attr-defined]
        return rng.choice(WILD_FLOAT)
    if kind == field.TYPE_INT32:  # type: ignore[attr-defined]
        return _int32(rng)
    return rng.choice(WILD_INT)


def _int32(rng: random.Random) -> int:
    return max(-(2**31), min(2**31 - 1, rng.choice(WILD_INT)))
