"""The pump: hand-over files into Redis, due entries back to their jobs.

It may die at any moment, and another one goes on: a hand-over file is removed after Redis has its entries, and taken
once whatever happens; a batch leaves Redis after its file is on disk, and its file is written once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import redis
import structlog
from redis.exceptions import RedisError

from reconcile.retry import folders
from reconcile.retry.entry import Entry, from_line, returned_line
from reconcile.retry.lease import Lease, name_of
from reconcile.retry.outlet import FilesOutlet, RetryOutlet
from reconcile.retry.queue import Batch, RetryQueue

log = structlog.get_logger(__name__)

POLL_S = 0.2
DOWN_S = 1.0
BATCH = 500


class Pump:
    """One per state folder works at a time, see `Lease`.

    Args:
        connection: Redis.
        state: the system's folder.
        outlet: the way back; files when not given.
        now: epoch seconds.
    """

    def __init__(
        self,
        connection: redis.Redis,
        state: Path,
        outlet: RetryOutlet | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._queue = RetryQueue(connection)
        self._outlet = outlet or FilesOutlet(state)
        self._lease = Lease(connection, name_of(state))
        self._now = now

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            pause = POLL_S
            try:
                self.step()
            except (RedisError, OSError) as error:
                log.warning("retry_pump_waits", error=str(error))
                pause = DOWN_S
            stop.wait(pause)
        try:
            self._lease.release()
        except (RedisError, OSError) as error:
            log.debug("retry_lease_left_to_expire", error=str(error))

    def step(self) -> Mapping[str, int]:
        """All that can be done now; returns how many entries went `in` and `out`.

        Raises:
            RedisError, OSError: Redis or the disk; nothing is lost, and the next step goes on.
        """
        if not self._lease.hold():
            return {"in": 0, "out": 0}
        taken = sum(self._take_in(path) for path in folders.handed_files(self._state))
        sent = sum(self._send_back(run) for run in self._queue.runs() if self._outlet.serves(run))
        return {"in": taken, "out": sent}

    def _take_in(self, path: Path) -> int:
        try:
            entries = _entries(path)
        except FileNotFoundError:  # another pump was faster
            return 0
        taken = self._queue.ingest(path.name, entries, self._now())
        path.unlink(missing_ok=True)
        self._lease.hold()
        return taken

    def _send_back(self, run_id: str) -> int:
        sent = sum(self._send(batch) for batch in self._queue.open_batches(run_id))
        while (batch := self._queue.claim(run_id, self._now(), BATCH)) is not None:
            sent += self._send(batch)
            self._lease.hold()
        return sent

    def _send(self, batch: Batch) -> int:
        self._outlet.write(batch.run_id, batch.batch_id, [returned_line(entry) for entry in batch.entries])
        return self._queue.acknowledge(batch)


def _entries(path: Path) -> list[Entry]:
    with path.open("rb") as file:
        return [from_line(line) for line in file if line.strip()]
