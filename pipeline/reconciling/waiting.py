"""Records on their way to the retry queue, in it, or on their way back: they are in flight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import redis
from redis.exceptions import RedisError

from materials.errors import Retryable
from materials.redaction import without_secrets
from reconcile.retry import folders
from reconcile.retry.entry import from_line
from reconcile.retry.queue import RetryQueue


def waiting(state: Path, redis_url: str) -> frozenset[tuple[str, int]]:
    """(material_id, revision) of all of them. The files are read first: the pump moves entries from there into Redis.

    Raises:
        Retryable: Redis does not answer.
    """
    found = set(_handed(state))
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=10.0) as connection:
            found |= {(entry.material_id, entry.revision) for entry in RetryQueue(connection).entries()}
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis at {without_secrets(redis_url)} does not answer: {error}") from error
    return frozenset(found)


def _handed(state: Path) -> Iterator[tuple[str, int]]:
    for path in folders.handed_files(state):
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:  # the pump took it in a moment ago
            continue
        for line in lines:
            if line.strip():
                entry = from_line(line)
                yield entry.material_id, entry.revision
