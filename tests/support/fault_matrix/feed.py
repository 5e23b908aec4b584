"""The steady load: records go out at a fixed rate, whatever becomes of the system."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from fault_matrix.records import Record

TICK_SECONDS = 0.25


class Outlet(Protocol):
    """Where records enter the system."""

    def put(self, lines: list[bytes]) -> None:
        """Returns once they are there to stay."""
        ...


class WatchedFolder:
    """Files that become visible at once and whole, as `docs/job-spec.md` asks of a writer."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._numbers = itertools.count()

    def put(self, lines: list[bytes]) -> None:
        """One file."""
        unfinished = self._folder / f"load-{next(self._numbers):06}.tmp"
        unfinished.write_bytes(b"".join(line + b"\n" for line in lines))
        unfinished.rename(unfinished.with_suffix(".jsonl"))


class Feed(threading.Thread):
    """Sends until it has been told to end; `sent` holds what went out, with the time.

    Args:
        rate: records a second.
    """

    def __init__(self, stream: Iterator[Record], outlet: Outlet, rate: float) -> None:
        super().__init__(name="feed", daemon=True)
        self._stream, self._outlet, self._rate = stream, outlet, rate
        self._ending = threading.Event()
        self.sent: dict[str, tuple[Record, float]] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        """The thread."""
        due = 0.0
        try:
            while not self._ending.is_set():
                began = time.monotonic()
                due += self._rate * TICK_SECONDS
                count = int(due)
                due -= count
                batch = list(itertools.islice(self._stream, count))
                # Never longer asleep than needed; a slow outlet is not made up for, or the load would not be steady.
                self._outlet.put([json.dumps(record.body).encode() for record in batch])
                now = time.time()
                self.sent |= {record.material_id: (record, now) for record in batch}
                self._ending.wait(max(0.0, began + TICK_SECONDS - time.monotonic()))
        except BaseException as error:
            self.error = error
            raise

    def await_sent(self, count: int, seconds: float) -> None:
        """Wait until so many are out.

        Raises:
            TimeoutError: they are not.
        """
        deadline = time.monotonic() + seconds
        while len(self.sent) < count:
            if self.error is not None:
                raise RuntimeError("the load broke off") from self.error
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(self.sent)} of {count} records went out within {seconds:g} s")
            time.sleep(0.02)

    def end(self) -> None:
        """Send no more."""
        self._ending.set()
        self.join(30)
