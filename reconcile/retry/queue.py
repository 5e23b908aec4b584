"""The queue in Redis, as the pump and the command line use it. Every change is one script: whole, or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import redis

from reconcile.retry import keys, scripts
from reconcile.retry.entry import Entry, from_stored, to_stored

_TOLD = 300
"""Characters of a last error that stand in an outcome."""
_PIECE = 200
"""Entries of one script call: other clients wait while it runs."""
_REMEMBER_S = 30 * 86_400.0


class Batch(msgspec.Struct, frozen=True):
    """Entries of one run on their way back; the same id means the same entries, whoever writes them."""

    batch_id: str
    run_id: str
    entries: tuple[Entry, ...]


class RetryQueue:
    """Safe to use from several processes at once.

    Args:
        connection: Redis; its errors (`redis.exceptions.RedisError`) go to the caller, and every call may be repeated.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        register = connection.register_script
        self._ingest = register(scripts.INGEST)
        self._claim = register(scripts.CLAIM)
        self._read = register(scripts.READ_BATCH)
        self._acknowledge = register(scripts.ACKNOWLEDGE)
        self._hurry = register(scripts.HURRY)

    def ingest(self, name: str, entries: Sequence[Entry], now: float) -> int:
        """Take in the entries of a hand-over file, once for each name; returns how many were new."""
        taken = 0
        for start in range(0, len(entries), _PIECE):
            arguments: list[Any] = [f"{name}#{start}", repr(now)]
            for entry in entries[start : start + _PIECE]:
                due_key = keys.due(entry.run_id)
                arguments += [due_key, entry.run_id, entry.entry_id, repr(entry.due_at), to_stored(entry)]
            names = [keys.ENTRIES, keys.ADMITTED, keys.INGESTED, keys.RUNS]
            taken += int(self._ingest(keys=names, args=arguments))
        self._redis.zremrangebyscore(keys.INGESTED, "-inf", now - _REMEMBER_S)
        return taken

    def runs(self) -> list[str]:
        """Those that have entries."""
        found: Any = self._redis.smembers(keys.RUNS)
        return sorted(run.decode() for run in found)

    def claim(self, run_id: str, now: float, limit: int) -> Batch | None:
        """Due entries of a run, as a new batch; it stays open until it is acknowledged."""
        batch_id = uuid.uuid4().hex
        names = [keys.ENTRIES, keys.due(run_id), keys.batches(run_id)]
        found = self._claim(keys=names, args=[repr(now), limit, batch_id])
        return Batch(batch_id, run_id, tuple(map(from_stored, found))) if found else None

    def open_batches(self, run_id: str) -> list[Batch]:
        """Claimed and not acknowledged, whoever claimed them."""
        found: Any = self._redis.hkeys(keys.batches(run_id))
        batches = []
        for batch_id in sorted(found):
            stored = self._read(keys=[keys.ENTRIES, keys.batches(run_id)], args=[batch_id])
            if stored:
                batches.append(Batch(batch_id.decode(), run_id, tuple(map(from_stored, stored))))
        return batches

    def acknowledge(self, batch: Batch) -> int:
        """The batch is durable outside; its entries leave. Returns how many were still there."""
        names = [keys.ENTRIES, keys.due(batch.run_id), keys.batches(batch.run_id), keys.RUNS]
        return int(self._acknowledge(keys=names, args=[batch.batch_id, batch.run_id]))

    def pending(self, run_id: str) -> int:
        """Entries of a run that wait or are on their way back."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.zcard(keys.due(run_id))
        pipe.hvals(keys.batches(run_id))
        waiting, batches = pipe.execute()
        return int(waiting) + sum(len(ids.split()) for ids in batches)

    def due_between(self, run_id: str) -> tuple[float, float] | None:
        """When the first and the last entry of a run are due, epoch seconds; None where none waits."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.zrange(keys.due(run_id), 0, 0, withscores=True)
        pipe.zrange(keys.due(run_id), -1, -1, withscores=True)
        first, last = pipe.execute()
        return (float(first[0][1]), float(last[0][1])) if first else None

    def size(self) -> int:
        """Entries of all runs."""
        count: Any = self._redis.hlen(keys.ENTRIES)
        return int(count)

    def entries(self, matches: Callable[[Entry], bool] = lambda _entry: True) -> Iterator[Entry]:
        """All that match, in no order; what comes or goes meanwhile may be there or not."""
        for _, stored in self._redis.hscan_iter(keys.ENTRIES, count=500):
            entry = from_stored(stored)
            if matches(entry):
                yield entry

    def replay(self, entries: Iterable[Entry], now: float) -> int:
        """Make entries due now; returns how many were not already. Harmless twice, and for those that have left."""
        return self._hurried([(entry, b"") for entry in entries], now)

    def drop(self, entries: Iterable[Entry], reason: str, now: float) -> int:
        """Send entries back to become `dead` for `reason` and what kept them; the job writes their outcomes. Harmless
        twice."""
        marked = [
            (entry, to_stored(msgspec.structs.replace(entry, dropped=f"{reason}; last error: {_told(entry)}")))
            for entry in entries
            if not entry.dropped
        ]
        return self._hurried(marked, now)

    def _hurried(self, changed: Sequence[tuple[Entry, bytes]], now: float) -> int:
        by_run: dict[str, list[Any]] = {}
        for entry, value in changed:
            by_run.setdefault(entry.run_id, []).extend((entry.entry_id, value))
        count = 0
        for run_id, pairs in by_run.items():
            for start in range(0, len(pairs), 2 * _PIECE):
                piece = pairs[start : start + 2 * _PIECE]
                count += int(self._hurry(keys=[keys.ENTRIES, keys.due(run_id)], args=[repr(now), *piece]))
        return count


def _told(entry: Entry) -> str:
    return f"{entry.error}: {entry.message}"[:_TOLD]
