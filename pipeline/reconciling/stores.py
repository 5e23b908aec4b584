"""What the index decided and holds, and what Redis shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec
import redis
from redis.exceptions import RedisError

from materials.errors import Retryable
from materials.redaction import without_secrets
from pipeline.projection import OUTCOME
from reconcile.comparison.inputs import IndexLine, RedisLine
from vector_index.verification import read_only

_PAGE = 500
_DECISIONS = """
    SELECT d.policy, d.material_id, d.revision, d.outcome, d.content_id,
           NOT EXISTS (
               SELECT 1 FROM decisions later WHERE later.material_id = d.material_id AND later.policy = d.policy
               AND (later.revision > d.revision OR (later.revision = d.revision AND later.deletes > d.deletes))),
           b.content_id
    FROM decisions d
    LEFT JOIN materials m ON m.material_id = d.material_id AND m.live
    LEFT JOIN members b ON b.row = m.row AND b.policy = d.policy
    WHERE instr(d.material_id, '/') = 0"""


class _Stored(msgspec.Struct):
    """What is read of an outcome in Redis."""

    revision: int
    outcome: str
    content_id: str | None = None


class IndexLog:
    """The index's log at one moment, read while the service goes on.

    Args:
        path: `log.sqlite`.

    Raises:
        UsageError: there is no log.
    """

    def __init__(self, path: Path) -> None:
        self._log = read_only(path)
        self._log.execute("BEGIN")
        query = "SELECT content_id, redirect_to FROM content_ids WHERE redirect_to IS NOT NULL"
        self._redirects: dict[str, str] = dict(self._log.execute(query))

    def __enter__(self) -> IndexLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def canonical(self, content_id: str) -> str:
        """The content ID after redirects."""
        while content_id in self._redirects:
            content_id = self._redirects[content_id]
        return content_id

    def decisions(self) -> Iterator[IndexLine]:
        """Every decision about whole materials."""
        yield from self._lines(self._log.execute(_DECISIONS))

    def decisions_about(self, material_ids: Collection[str]) -> Iterator[IndexLine]:
        """Every decision about some of them."""
        for page in _pages(material_ids):
            places = ",".join("?" * len(page))
            yield from self._lines(self._log.execute(f"{_DECISIONS} AND d.material_id IN ({places})", page))

    def merged(self, begin: float, end: float) -> int:
        """Content IDs that were redirected in a time."""
        query = "SELECT count(*) FROM events WHERE what = 'merged' AND at >= ? AND at < ?"
        return int(self._log.execute(query, (begin, end)).fetchone()[0])

    def _lines(self, cursor: sqlite3.Cursor) -> Iterator[IndexLine]:
        for policy, material_id, revision, outcome, content_id, latest, place in cursor:
            now = self.canonical(place or "")
            live = place is not None
            yield IndexLine(policy, material_id, revision, outcome, content_id, bool(latest), live, now)


def shown(url: str, log: IndexLog) -> Iterator[RedisLine]:
    """Every outcome in Redis.

    Raises:
        Retryable: it does not answer.
    """
    try:
        with closing(_connect(url)) as connection:
            keys = connection.scan_iter(match=OUTCOME + "*", count=1000)
            while page := list(dict.fromkeys(islice(keys, _PAGE))):
                yield from _outcomes(connection, page, log)
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis at {without_secrets(url)} does not answer: {error}") from error


def shown_about(url: str, material_ids: Collection[str], log: IndexLog) -> Iterator[RedisLine]:
    """The outcomes of some materials; errors as `shown`'s."""
    try:
        with closing(_connect(url)) as connection:
            for page in _pages(material_ids):
                yield from _outcomes(connection, [(OUTCOME + name).encode() for name in page], log)
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis at {without_secrets(url)} does not answer: {error}") from error


def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=10.0)


def _outcomes(connection: redis.Redis, keys: list[bytes], log: IndexLog) -> Iterator[RedisLine]:
    decoder = msgspec.json.Decoder(_Stored)
    pipe = connection.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(key)
    for key, answer in zip(keys, pipe.execute(), strict=True):
        material_id = key[len(OUTCOME) :].decode()
        for policy, record in answer.items():
            found = decoder.decode(record)
            content_id = found.content_id or ""
            now = log.canonical(content_id)
            yield RedisLine(policy.decode(), material_id, found.revision, found.outcome, content_id, now)


def _pages(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(sorted(names))
    while page := list(islice(rest, _PAGE)):
        yield page
