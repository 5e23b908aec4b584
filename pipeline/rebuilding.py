"""Redis is a projection: the outcomes that readers ask for are written anew out of the index's log.

What only the job knew (attempts, latency, trace) is lost with Redis and written as nothing; content IDs, matches and
candidates are those of the log, and content IDs those of now. Features are not written: a job computes them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import redis
from redis.exceptions import RedisError

from materials.errors import Retryable
from materials.records import Assignment, Outcome
from materials.redaction import without_secrets
from pipeline import outcomes
from pipeline.envelope import Envelope
from pipeline.projection import OUTCOME
from vector_index.content.current import of_now
from vector_index.content.recorded import copy_log
from vector_index.log import Log

_PAGE = 500


class Rebuilt(msgspec.Struct, frozen=True):
    """Outcomes that the log knows; of them those that Redis lacked, and those that named another content ID."""

    outcomes: int
    missing: int
    changed: int


def rebuild(log_path: Path, redis_url: str, *, write: bool = True) -> Rebuilt:
    """Compare every outcome in Redis with the log, and mend it.

    Args:
        log_path: the index's `log.sqlite`; a copy of this moment is read.
        write: else only counted.

    Raises:
        UsageError: there is no log that can be read.
        Retryable: Redis does not answer.
    """
    known = missing = changed = 0
    with TemporaryDirectory(prefix="sosie-rebuild-") as folder:
        copy = Path(folder) / "log.sqlite"
        copy_log(log_path, copy)
        log = Log(copy)
        try:
            with redis.Redis.from_url(redis_url, socket_timeout=5.0) as connection:
                for page in _pages(log):
                    stored = _stored(connection, page)
                    pipe = connection.pipeline(transaction=False)
                    for (policy, answer), old in zip(page, stored, strict=True):
                        known += 1
                        fresh = _mended(answer, old)
                        missing += old is None
                        changed += old is not None and fresh is not None
                        if fresh is not None:
                            put = pipe.hsetnx if old is None else pipe.hset  # a job may write meanwhile
                            put(OUTCOME + answer.material_id, policy, fresh)
                    if write:
                        pipe.execute()
        except (RedisError, OSError) as error:
            raise Retryable(f"Redis at {without_secrets(redis_url)} does not take outcomes: {error}") from error
        finally:
            log.close()
    return Rebuilt(known, missing, changed)


def _pages(log: Log) -> Iterator[list[tuple[str, Assignment]]]:
    page: list[tuple[str, Assignment]] = []
    for material_id, policy in log.decided():
        latest = log.latest(material_id, policy)
        if latest is not None:
            page += [(policy, one) for one in of_now(log, [latest], policy) if one is not None]
        if len(page) >= _PAGE:
            yield page
            page = []
    if page:
        yield page


def _stored(connection: redis.Redis, page: list[tuple[str, Assignment]]) -> list[bytes | None]:
    pipe = connection.pipeline(transaction=False)
    for policy, answer in page:
        pipe.hget(OUTCOME + answer.material_id, policy)
    return list(pipe.execute())


def _mended(answer: Assignment, stored: bytes | None) -> str | None:
    """What is to be written; None where the stored outcome is right."""
    if stored is None:
        envelope = Envelope(
            material_id=answer.material_id,
            kind=answer.kind,
            base="",
            line=b"",
            entered_at=0.0,
            trace_id="",
            revision=answer.revision,
        )
        return msgspec.json.encode(outcomes.assigned(envelope, answer, {}, 0, 0.0)).decode()
    old = msgspec.json.decode(stored, type=Outcome)
    if old.outcome in ("rejected", "dead"):  # a later line was refused: that is what its reader is to see
        return None
    parts = [
        {**part, "content_id": now.content_id or None} if part["content_id"] != (now.content_id or None) else part
        for part, now in zip(old.parts, answer.parts, strict=False)
    ]
    right = msgspec.structs.replace(old, content_id=answer.content_id or None, parts=parts)
    if old.revision != answer.revision or right == old:
        return None
    return msgspec.json.encode(right).decode()
