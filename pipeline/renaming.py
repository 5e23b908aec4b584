"""Redis follows a split: the outcomes of materials that moved name their new content ID.

A merge needs none of this: the old ID answers for ever through its redirect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import redis
from redis.exceptions import RedisError, WatchError

from materials.errors import Retryable
from materials.redaction import without_secrets
from pipeline.projection import OUTCOME

_ATTEMPTS = 8


def rename(redis_url: str, policy: str, moved: Mapping[str, str]) -> int:
    """Write the content IDs of now into stored outcomes.

    Args:
        moved: material, or part of a post (`P1/0`), -> its content ID.

    Returns:
        Outcomes that were changed; a material whose outcome is not there is passed over.

    Raises:
        Retryable: Redis does not answer. The index has the truth: the same command again mends it.
    """
    by_record: dict[str, dict[str, str]] = {}
    for name, content_id in moved.items():
        by_record.setdefault(name.partition("/")[0], {})[name] = content_id
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=5.0) as connection:
            return sum(_one(connection, name, policy, ids) for name, ids in by_record.items())
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis at {without_secrets(redis_url)} did not take the new content IDs: {error}") from error


def _one(connection: redis.Redis, material_id: str, policy: str, ids: Mapping[str, str]) -> bool:
    """Changed only if nobody wrote in between: a newer outcome is never overwritten by an older one."""
    key = OUTCOME + material_id
    for _ in range(_ATTEMPTS):
        with connection.pipeline() as pipe:
            pipe.watch(key)
            stored: Any = pipe.hget(key, policy)
            if stored is None:
                return False
            record: dict[str, Any] = msgspec.json.decode(stored)
            renamed = _renamed(record, material_id, ids)
            if renamed == record:
                return False
            pipe.multi()
            pipe.hset(key, policy, msgspec.json.encode(renamed).decode())
            try:
                pipe.execute()
            except WatchError:
                continue
            return True
    raise Retryable(f"the outcome of {material_id} changes all the time")


def _renamed(record: dict[str, Any], material_id: str, ids: Mapping[str, str]) -> dict[str, Any]:
    changed = {**record, "parts": [_part(part, ids) for part in record.get("parts", [])]}
    if material_id in ids and record.get("content_id"):
        changed["content_id"] = ids[material_id]
    return changed


def _part(part: dict[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    return {**part, "content_id": ids[part["material_id"]]} if part.get("material_id") in ids else part
