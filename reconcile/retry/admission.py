"""Leave to enter the queue, asked by an operator before it lets go of a record: the bound, and Redis being there."""

from __future__ import annotations

import redis.asyncio
from redis.exceptions import RedisError

from materials.errors import Overloaded, Retryable
from reconcile.retry import keys, scripts

LAPSES_S = 900.0
"""Leave that was not used is forgotten: its operator died before the checkpoint, and asks again under another id."""
FULL_S = 1.0
"""Seconds until a full queue is asked again."""


class Admission:
    """Use it from one event loop.

    Args:
        url: Redis, `redis://host:port/0`.
        bound: records in the queue and on their way to it, of all jobs.
    """

    def __init__(self, url: str, bound: int) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=2.0)
        self._admit = self._redis.register_script(scripts.ADMIT)
        self._bound = bound

    async def ask(self, entry_id: str, now: float) -> None:
        """Returns when the record may be let go; asking again for the same entry is harmless.

        Raises:
            Overloaded: the queue is full.
            Retryable: Redis does not answer.
        """
        try:
            given = await self._admit(
                keys=[keys.ENTRIES, keys.ADMITTED], args=[entry_id, repr(now), self._bound, LAPSES_S]
            )
        except (RedisError, OSError) as error:
            raise Retryable(f"the retry queue cannot be reached: {error}") from error
        if not given:
            raise Overloaded(f"the retry queue holds its {self._bound} records", retry_after=FULL_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
