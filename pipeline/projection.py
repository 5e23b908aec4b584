"""Redis as a projection: what readers ask for, rebuilt from the index when it is lost.

    sosie:feat:{material_id}      hash, `plugin@version` -> msgpack {schema, dtype, shape, data}
    sosie:outcome:{material_id}   hash, policy -> the outcome record as JSON
    sosie:job:{run_id}            hash, outcome -> count, for progress bars only

A material's parts (`P1/0`) have features of their own. A rejected line never overwrites an earlier good outcome.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from materials.errors import Retryable
from materials.parsing import MAX_POST_MEDIA
from materials.records import Features, Outcome
from model_plugins.batching import MicroBatcher, Slice

FEATURES = "sosie:feat:"
OUTCOME = "sosie:outcome:"
PROGRESS = "sosie:job:"
_PROGRESS_TTL_S = 86_400
_MANY = 64
_WAIT_S = 0.002

_msgpack = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()


class _Write(NamedTuple):
    outcome: Outcome
    features: dict[str, Features]


class Projection:
    """Writes outcomes and features; what finishes together shares a round trip. Use it from one event loop.

    Args:
        url: `redis://host:port/0`.
        policy: the job's policy; outcomes are kept per policy.
        run_id: names the progress counters.
        ttl_s: life of features in seconds; None keeps them.
    """

    def __init__(self, url: str, policy: str, run_id: str, ttl_s: int | None = None) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=2.0)
        self._policy = policy
        self._progress = PROGRESS + run_id
        self._ttl_s = ttl_s
        self._batcher: MicroBatcher[_Write, None] = MicroBatcher(self._write, _MANY, wait=_WAIT_S, in_flight=2)

    async def publish(self, outcome: Outcome, features: dict[str, Features]) -> None:
        """Write one outcome.

        Args:
            outcome: the record.
            features: by material id: the material's own and its parts'.

        Raises:
            Retryable: Redis did not answer; writing again is harmless.
        """
        await self._batcher.submit(_Write(outcome, features), 1)

    async def close(self) -> None:
        """Close the connections."""
        await self._batcher.close()
        await self._redis.aclose()

    async def _write(self, slices: list[Slice[_Write]]) -> list[None]:
        pipe = self._redis.pipeline(transaction=False)
        counts: Counter[str] = Counter()
        for piece in slices:
            self._add(pipe, piece.item.outcome, piece.item.features)
            counts[piece.item.outcome.outcome] += 1
        for name, count in counts.items():
            pipe.hincrby(self._progress, name, count)
        pipe.expire(self._progress, _PROGRESS_TTL_S)
        try:
            await pipe.execute()
        except (RedisError, OSError) as error:
            raise Retryable(f"Redis did not take {len(slices)} outcomes: {error}") from error
        return [None] * len(slices)

    def _add(self, pipe: Any, outcome: Outcome, features: dict[str, Features]) -> None:
        key = OUTCOME + outcome.material_id
        if outcome.outcome == "deleted":
            pipe.delete(
                FEATURES + outcome.material_id, *(f"{FEATURES}{outcome.material_id}/{i}" for i in range(MAX_POST_MEDIA))
            )
        for material_id, found in features.items():
            if found:
                pipe.hset(FEATURES + material_id, mapping={k: _msgpack.encode(f) for k, f in found.items()})
                if self._ttl_s is not None:
                    pipe.expire(FEATURES + material_id, self._ttl_s)
        if outcome.outcome in ("rejected", "dead"):
            pipe.hsetnx(key, self._policy, _json.encode(outcome))
        else:
            pipe.hset(key, self._policy, _json.encode(outcome))
