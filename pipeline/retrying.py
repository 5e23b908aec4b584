"""What a run needs of the retry queue: a pump beside it, and the count of its records there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from redis.exceptions import RedisError

from pipeline.flink.plan import JobPlan
from reconcile.retry import folders
from reconcile.retry.pump import POLL_S, Pump
from reconcile.retry.queue import RetryQueue
from reconcile.retry.server import connect

STOP_S = 10.0


@contextmanager
def pump_beside(redis_url: str, state: Path) -> Iterator[None]:
    """A pump in a thread of this process: it works where the stack's own does not (all parts given, or it was killed),
    and else waits for the lease."""
    stop = threading.Event()
    connection = connect(redis_url)
    thread = threading.Thread(target=Pump(connection, state).run, args=(stop,), name="retry-pump", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_S)
        connection.close()


class Queued(msgspec.Struct, frozen=True):
    """What of a run waits for another attempt. `first_due`, `last_due`: epoch seconds, 0 where nothing has a time yet
    (it is on its way into the queue or out of it)."""

    count: int
    first_due: float = 0.0
    last_due: float = 0.0

    def told(self, now: float) -> str:
        """One clause for people; "" where nothing waits."""
        if not self.count:
            return ""
        told = f"{self.count} {'waits' if self.count == 1 else 'wait'} for another attempt"
        if not self.first_due:
            return told
        first, last = (max(0.0, due - now) for due in (self.first_due, self.last_due))
        until = f", the last in {last:.0f} s" if self.last_due > self.first_due else ""
        return f"{told}, the next due in {first:.0f} s{until}"


class Waiting:
    """Records of one run between its operators and its second source.

    Args:
        redis_url: the queue's.
        state: the system's folder.
        plan: of the run.
    """

    def __init__(self, redis_url: str, state: Path, plan: JobPlan) -> None:
        self._connection = connect(redis_url)
        self._queue = RetryQueue(self._connection)
        self._state = state
        self._run_id = plan.run_id

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def count(self) -> int | None:
        """None when Redis does not answer. Looked at in the direction that records go, so that none slips by."""
        handed = 0
        for path in folders.handed_files(self._state, self._run_id):
            try:
                handed += len(path.read_bytes().splitlines())
            except FileNotFoundError:  # in Redis by now
                continue
        try:
            return handed + self._queue.pending(self._run_id)
        except (RedisError, OSError):
            return None

    def look(self) -> Queued:
        """For a person who waits for the run: nothing where Redis does not answer."""
        count = self.count()
        try:
            between = self._queue.due_between(self._run_id) if count else None
        except (RedisError, OSError):
            between = None
        return Queued(count or 0, *(between or ()))


class Returned:
    """What came back for a batch job, which reads it in a round of its own.

    Args:
        waiting: of the run.
        state: the system's folder.
        plan: of the run.
    """

    def __init__(self, waiting: Waiting, state: Path, plan: JobPlan) -> None:
        self._waiting = waiting
        self._state = state
        self._run_id = plan.run_id
        self._read: set[Path] = set()

    def all(self, tell: Callable[[Queued], None] = lambda _queued: None) -> list[Path]:
        """Waits until nothing of the run is in the queue; the files that were not given out before.

        Args:
            tell: gets what waits, again and again.
        """
        while self._waiting.count() != 0:
            tell(self._waiting.look())
            time.sleep(POLL_S)
        found = [path for path in folders.back_files(self._state, self._run_id) if path not in self._read]
        self._read.update(found)
        return found
