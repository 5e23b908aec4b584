"""One pump at a time. Two would do no harm (batches are atomic), only work twice."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import redis

from reconcile.retry import keys, scripts

LEASE_S = 3.0


def name_of(state: Path) -> str:
    """The lease of a state folder."""
    return hashlib.blake2b(str(state.absolute()).encode(), digest_size=6).hexdigest()


class Lease:
    """Held for `LEASE_S` seconds since the last renewal; a pump that was killed loses it by itself.

    Args:
        connection: Redis.
        name: see `name_of`.
    """

    def __init__(self, connection: redis.Redis, name: str) -> None:
        self._key = keys.lease(name)
        self._token = uuid.uuid4().hex
        self._renew = connection.register_script(scripts.RENEW)
        self._release = connection.register_script(scripts.RELEASE)

    def hold(self) -> bool:
        """Take or renew it; False: another pump has it."""
        return bool(self._renew(keys=[self._key], args=[self._token, int(LEASE_S * 1000)]))

    def release(self) -> None:
        """Let the next one have it at once."""
        self._release(keys=[self._key], args=[self._token])


def is_held(connection: redis.Redis, name: str) -> bool:
    """Whether some pump works."""
    return bool(connection.exists(keys.lease(name)))
