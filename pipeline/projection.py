"""Redis as a projection: what readers ask for, rebuilt from the index when it is lost.

    sosie:feat:{material_id}      hash, `plugin@version` -> msgpack {schema, dtype, shape, data}
                                  and `@media`: sha256 of the medium, as a feature of schema `sha256`
    sosie:same:{sha256}           the material whose features are those of these bytes: a repost calls no model
    sosie:outcome:{material_id}   hash, policy -> the outcome record as JSON
    sosie:job:{run_id}            hash, outcome -> count, for progress bars only

A material's parts (`P1/0`) have features of their own. A rejected line never overwrites an earlier good outcome.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from materials.errors import Retryable
from materials.parsing import MAX_POST_MEDIA
from materials.records import Feature, Features, Outcome
from model_plugins.client.batching import MicroBatcher, Slice

FEATURES = "sosie:feat:"
SAME = "sosie:same:"
MEDIA = "@media"
OUTCOME = "sosie:outcome:"
PROGRESS = "sosie:job:"
_PROGRESS_TTL_S = 86_400
_SAME_TTL_S = 7 * 86_400
_MANY = 64
_WAIT_S = 0.008
"""A round trip costs the worker as much as eight records in it: what finishes within a model call goes together."""
_PATIENCE_S = 5.0
"""For a round trip. On the connection it would be a task and a timer for each answer in it."""

_msgpack = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()


class _Write(NamedTuple):
    outcome: Outcome
    features: dict[str, Features]
    stamps: Mapping[str, bytes]


class Projection:
    """Writes outcomes and features; what finishes together shares a round trip. Use it from one event loop.

    Args:
        url: `redis://host:port/0`.
        policy: the job's policy; outcomes are kept per policy.
        run_id: names the progress counters.
        ttl_s: life of features in seconds; None keeps them.
    """

    def __init__(self, url: str, policy: str, run_id: str, ttl_s: int | None = None) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=None, socket_connect_timeout=2.0)
        self._policy = policy
        self._progress = PROGRESS + run_id
        self._ttl_s = ttl_s
        self._batcher: MicroBatcher[_Write, None] = MicroBatcher(self._write, _MANY, wait=_WAIT_S, in_flight=2)

    async def publish(
        self, outcome: Outcome, features: dict[str, Features], stamps: Mapping[str, bytes] | None = None
    ) -> None:
        """Write one outcome.

        Args:
            outcome: the record.
            features: by material id: the material's own and its parts'.
            stamps: sha256 of the medium, by material id.

        Raises:
            Retryable: Redis did not answer; writing again is harmless.
        """
        await self._batcher.submit(_Write(outcome, features, stamps or {}), 1)

    async def close(self) -> None:
        """Close the connections."""
        await self._batcher.close()
        await self._redis.aclose()

    async def _write(self, slices: list[Slice[_Write]]) -> list[None]:
        pipe = self._redis.pipeline(transaction=False)
        counts: Counter[str] = Counter()
        for piece in slices:
            self._add(pipe, piece.item)
            counts[piece.item.outcome.outcome] += 1
        for name, count in counts.items():
            pipe.hincrby(self._progress, name, count)
        pipe.expire(self._progress, _PROGRESS_TTL_S)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise Retryable(f"Redis did not take {len(slices)} outcomes: {error}") from error
        return [None] * len(slices)

    def _add(self, pipe: Any, write: _Write) -> None:
        outcome, features = write.outcome, write.features
        key = OUTCOME + outcome.material_id
        if outcome.outcome == "deleted":
            pipe.delete(
                FEATURES + outcome.material_id, *(f"{FEATURES}{outcome.material_id}/{i}" for i in range(MAX_POST_MEDIA))
            )
        for material_id, found in features.items():
            if not found:
                continue
            if outcome.revision:  # what an earlier revision left was made of other bytes
                pipe.delete(FEATURES + material_id)
            fields = {k: _msgpack.encode(f) for k, f in found.items()}
            stamp = write.stamps.get(material_id)
            if stamp:
                fields[MEDIA] = _msgpack.encode(Feature.of("sha256", np.frombuffer(stamp, np.uint8)))
                pipe.set(SAME + stamp.hex(), material_id, ex=self._ttl_s or _SAME_TTL_S)
            pipe.hset(FEATURES + material_id, mapping=fields)
            if self._ttl_s is not None:
                pipe.expire(FEATURES + material_id, self._ttl_s)
        if outcome.outcome in ("rejected", "dead"):
            pipe.hsetnx(key, self._policy, _json.encode(outcome))
        else:
            pipe.hset(key, self._policy, _json.encode(outcome))
