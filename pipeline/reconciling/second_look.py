"""A system goes on while it is compared: what Redis and index seemed to say differently is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from pipeline.reconciling.stores import IndexLog, shown_about
from reconcile.comparison.findings import PolicyRow
from reconcile.comparison.inputs import IndexLine, RedisLine

_Key = tuple[str, str, int, bool]


def look_again(rows: Sequence[PolicyRow], redis_url: str, index_log: Path) -> list[PolicyRow]:
    """The rows with what Redis and the index say now.

    Raises:
        UsageError: the index has no log here.
        Retryable: Redis does not answer.
    """
    names = {row.material_id for row in rows}
    with IndexLog(index_log) as log:
        shown = {_key(line): line for line in shown_about(redis_url, names, log)}
    with IndexLog(index_log) as log:
        decided = {_key(line): line for line in log.decisions_about(names)}
        shown = {key: _renamed(line, log) for key, line in shown.items()}
    return [_now(row, decided, shown) for row in rows]


def _now(row: PolicyRow, decided: dict[_Key, IndexLine], shown: dict[_Key, RedisLine]) -> PolicyRow:
    key = (row.policy, row.material_id, row.revision, row.gone)
    index, redis = decided.get(key), shown.get(key)
    good = redis is not None and redis.outcome in ("unique", "duplicate", "deleted")
    return replace(
        row,
        indexed=int(index is not None),
        in_redis=int(good),
        latest=int(index is not None and index.latest),
        live=int(index is not None and index.live),
        index_decided=index.content_id if index else None,
        index_now=index.now if index else None,
        index_outcome=index.outcome if index else None,
        redis_now=redis.now if redis is not None and good else None,
    )


def _key(line: IndexLine | RedisLine) -> _Key:
    return line.policy, line.material_id, line.revision, line.outcome == "deleted"


def _renamed(line: RedisLine, log: IndexLog) -> RedisLine:
    return RedisLine(
        line.policy, line.material_id, line.revision, line.outcome, line.content_id, log.canonical(line.content_id)
    )
