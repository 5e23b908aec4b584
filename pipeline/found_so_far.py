"""What was found of a medium or text before one of its plug-ins failed: a later attempt calls only the missing ones.

sosie:sofar:{sha256}     hash, `plugin@version` -> msgpack of the feature, for a day
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from materials.records import Feature, Features

SO_FAR = "sosie:sofar:"
TTL_S = 86_400
log = structlog.get_logger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Feature)


class FoundSoFar:
    """Use it from one event loop. A Redis that is away costs model calls, and no record.

    Args:
        url: `redis://host:port/0`.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=1.0)

    async def keep(self, found: Mapping[str, Features]) -> None:
        """Add to what is kept, by sha256 (hex)."""
        pipe = self._redis.pipeline(transaction=False)
        for name, features in found.items():
            if features:
                pipe.hset(SO_FAR + name, mapping={key: _encoder.encode(each) for key, each in features.items()})
                pipe.expire(SO_FAR + name, TTL_S)
        try:
            await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("found_so_far_not_kept", error=str(error))

    async def known(self, name: str) -> Features:
        """Empty where nothing is, or nothing can be read."""
        try:
            fields: Any = await self._redis.hgetall(SO_FAR + name)
            return {key.decode(): _decoder.decode(value) for key, value in fields.items()}
        except (RedisError, OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("found_so_far_unreadable", error=str(error))
            return {}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
