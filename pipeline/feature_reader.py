"""Reads what plug-ins computed out of Redis, many materials in a round trip. The layout is told in `docs/features.md`.

with FeatureReader("redis://127.0.0.1:6379/0") as reader:
    found = reader.get(["P1", "P2"], keys=["image-embedding@1"])
    vector = found["P1"]["image-embedding@1"].array()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import redis
import redis.asyncio
from redis.exceptions import RedisError

from materials.errors import Permanent, Retryable
from materials.records import Feature, Features
from pipeline.projection import FEATURES

CHUNK: Final = 1_000
"""Materials asked for in one round trip."""
_TIMEOUT_S: Final = 5.0
_decoder = msgspec.msgpack.Decoder(Feature)


class DamagedFeature(Permanent):
    """A stored value is no feature, or its bytes do not fit its shape.

    Args:
        material_id: whose.
        key: `plugin@version`.
        reason: what is wrong.
    """

    def __init__(self, material_id: str, key: str, reason: str) -> None:
        super().__init__(f"feature {key!r} of {material_id!r} cannot be read: {reason}")
        self.material_id = material_id
        self.key = key


class FeatureReader:
    """The batched client; safe to share between threads.

    Args:
        url: `redis://host:port/0`.
        chunk: materials per round trip.
    """

    def __init__(self, url: str, chunk: int = CHUNK) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=2.0)
        self._chunk = chunk

    def get(self, material_ids: Iterable[str], keys: Sequence[str] | None = None) -> dict[str, Features]:
        """Features by material, in the order asked; a material without any gets an empty mapping.

        Args:
            material_ids: repeated ones are asked for once. A post's media are `P1/0`, `P1/1`, ….
            keys: `plugin@version`; None: all that a material has.

        Raises:
            Retryable: Redis did not answer.
            DamagedFeature: a value that is no feature.
        """
        found: dict[str, Features] = {}
        for ids in _chunks(material_ids, self._chunk):
            pipe = self._redis.pipeline(transaction=False)
            _ask(pipe, ids, keys)
            try:
                answers = pipe.execute()
            except (RedisError, OSError) as error:
                raise _unanswered(len(ids), error) from error
            found.update(_read(ids, keys, answers))
        return found

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncFeatureReader:
    """As `FeatureReader`, for one event loop."""

    def __init__(self, url: str, chunk: int = CHUNK) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=2.0)
        self._chunk = chunk

    async def get(self, material_ids: Iterable[str], keys: Sequence[str] | None = None) -> dict[str, Features]:
        """See `FeatureReader.get`."""
        found: dict[str, Features] = {}
        for ids in _chunks(material_ids, self._chunk):
            pipe = self._redis.pipeline(transaction=False)
            _ask(pipe, ids, keys)
            try:
                answers = await pipe.execute()
            except (RedisError, OSError) as error:
                raise _unanswered(len(ids), error) from error
            found.update(_read(ids, keys, answers))
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def decode(material_id: str, key: str, stored: bytes) -> Feature:
    """One hash field -> the feature; keys that a later version adds to the value are passed over.

    Raises:
        DamagedFeature: no msgpack of {schema, dtype, shape, data}, an unknown dtype, or another number of bytes.
    """
    try:
        feature = _decoder.decode(stored)
        feature.array()
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise DamagedFeature(material_id, key, str(error)) from error
    return feature


def _chunks(material_ids: Iterable[str], size: int) -> Iterator[list[str]]:
    distinct = list(dict.fromkeys(material_ids))
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def _ask(pipe: Any, ids: list[str], keys: Sequence[str] | None) -> None:
    for material_id in ids:
        if keys is None:
            pipe.hgetall(FEATURES + material_id)
        elif keys:
            pipe.hmget(FEATURES + material_id, list(keys))


def _read(ids: list[str], keys: Sequence[str] | None, answers: list[Any]) -> dict[str, Features]:
    if keys is not None and not keys:
        return {material_id: {} for material_id in ids}
    found: dict[str, Features] = {}
    for material_id, answer in zip(ids, answers, strict=True):
        pairs = (
            zip(keys, answer, strict=True) if keys is not None else sorted((k.decode(), v) for k, v in answer.items())
        )
        found[material_id] = {key: decode(material_id, key, value) for key, value in pairs if value is not None}
    return found


def _unanswered(count: int, error: Exception) -> Retryable:
    return Retryable(f"Redis did not answer for the features of {count} materials: {error}")
