"""Reads committed outcomes as they appear."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import msgspec
from fault_matrix.verdict import Seen

POLL_SECONDS = 0.1


class _Line(msgspec.Struct):
    material_id: str
    outcome: str
    content_id: str | None = None
    attempts: int = 1


_decoder = msgspec.json.Decoder(_Line)


class Results(threading.Thread):
    """What a sink has committed, by material id, in a thread of its own."""

    exactly_once = True

    def __init__(self) -> None:
        super().__init__(name="results", daemon=True)
        self._ending = threading.Event()
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        self.error: BaseException | None = None

    def run(self) -> None:
        """The thread."""
        try:
            while not self._ending.wait(POLL_SECONDS):
                self.look()
        except BaseException as error:
            self.error = error
            raise

    def look(self) -> None:
        """Read what is new."""
        raise AssertionError("a sink says how")

    def read(self, line: bytes, at: float) -> None:
        """One result line."""
        said = _decoder.decode(line)
        self.seen[said.material_id].append(Seen(said.outcome, said.content_id or "", at, said.attempts))

    def await_all(self, names: Collection[str], seconds: float) -> bool:
        """Wait until each has an outcome, or none of them has come for so long; tells whether they have."""
        deadline = time.monotonic() + seconds
        missing = set(names)
        while still := {name for name in missing if name not in self.seen}:
            if self.error is not None:
                raise RuntimeError("the results cannot be read") from self.error
            if len(still) < len(missing):
                missing, deadline = still, time.monotonic() + seconds
            elif time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def end(self) -> None:
        """Stop following."""
        self._ending.set()
        self.join(10)


class CommittedFiles(Results):
    """Follows `results/*.jsonl` of a files sink. A file gets its name when it is committed, and never changes again."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._known: set[str] = set()

    def look(self) -> None:
        """Read the files that are new."""
        for path in sorted(self._folder.glob("*.jsonl")):
            if path.name in self._known or path.name.startswith("."):
                continue
            self._known.add(path.name)
            now = time.time()
            for line in path.read_bytes().splitlines():
                self.read(line, now)
