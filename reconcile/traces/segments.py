"""The local store: JSON lines in files that are few, small and short-lived, so that any tool can read them.

    STATE/traces/remarkable-MILLISECONDS-PID-RANDOM.jsonl    failed, rejected, retried, slow, troubled, asked for
    STATE/traces/ordinary-…                                  the rest

Each writer appends to files of its own; whoever opens a new one removes the oldest beyond the bounds. The two kinds
have half of the space each: a flood of dull traces takes no interesting one away.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from reconcile.traces.drain import Drain
from reconcile.traces.records import Fragment, encode
from reconcile.traces.sampling import ORDINARY

FOLDER: Final = "traces"
"""Under the state folder."""
Tier = Literal["remarkable", "ordinary"]
TIERS: Final[tuple[Tier, ...]] = ("remarkable", "ordinary")
_SEGMENT_S: Final = 600.0
_log = structlog.get_logger(__name__)


class Bounds(msgspec.Struct, frozen=True):
    """Of the whole store: bytes, and seconds since a file was last written."""

    max_bytes: int = 256 << 20
    max_age_s: float = 7 * 86_400.0

    @property
    def segment_bytes(self) -> int:
        """Of one file: an eighth of a tier's part, 4 MiB at most."""
        return max(1, min(4 << 20, self.max_bytes // 2 // 8))


class Segments:
    """Appends one tier's fragments; for one thread.

    Args:
        folder: of the store; made when it is first needed.
        clock: epoch seconds.
    """

    def __init__(self, folder: Path, tier: Tier, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._tier = tier
        self._bounds = bounds
        self._clock = clock
        self._fd = -1
        self._written = 0
        self._opened = 0.0

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines, whole.

        Raises:
            OSError: the folder cannot be written to.
        """
        room = self._bounds.segment_bytes
        batch: list[bytes] = []
        size = 0
        for line in lines:
            if batch and (0 if self._is_over() else self._written) + size + len(line) + 1 > room:
                self._write(b"\n".join([*batch, b""]))
                batch, size = [], 0
            batch.append(line)
            size += len(line) + 1
        if batch:
            self._write(b"\n".join([*batch, b""]))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        if self._is_over() or self._written + len(data) > self._bounds.segment_bytes:
            self._open()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._written += len(data)

    def _is_over(self) -> bool:
        """Whether the next line needs another file: this one is full or old, or someone tidied it away."""
        if self._fd < 0 or self._written >= self._bounds.segment_bytes or self._clock() - self._opened > _SEGMENT_S:
            return True
        return os.fstat(self._fd).st_nlink == 0

    def _open(self) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._opened, self._written = self._clock(), 0
        name = f"{self._tier}-{int(self._opened * 1000):013d}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        self._fd = os.open(self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        prune(self._folder, self._tier, self._bounds, self._clock(), keep=name)


def prune(folder: Path, tier: Tier, bounds: Bounds, now: float, keep: str = "") -> None:
    """Remove files of a tier that are too old, and the oldest until it and one more file fit into its half."""
    room = max(0, bounds.max_bytes // 2 - bounds.segment_bytes)
    for path in sorted(folder.glob(f"{tier}-*.jsonl"), reverse=True):  # newest first: names begin with their time
        try:
            status = path.stat()
        except FileNotFoundError:  # another writer was faster
            continue
        room -= status.st_size
        if path.name != keep and (room < 0 or now - status.st_mtime > bounds.max_age_s):
            path.unlink(missing_ok=True)


class TraceWriter:
    """Keeps fragments, in a thread of its own; what a kill costs is the last quarter of a second.

    Args:
        folder: of the store.
        bounds: of the store.
        also: told each fragment too, e.g. `OtlpExporter.put`.
    """

    def __init__(self, folder: Path, bounds: Bounds, also: Callable[[Fragment], None] | None = None) -> None:
        self._tiers = {tier: Segments(folder, tier, bounds) for tier in TIERS}
        self._also = also
        self._drain: Drain[Fragment] = Drain("trace-writer", self._keep)
        self._told = False

    def put(self, fragment: Fragment) -> None:
        """Keep it. Never waits, never fails."""
        self._drain.put(fragment)
        if self._also is not None:
            self._also(fragment)

    def close(self) -> None:
        """Write the rest."""
        self._drain.close()
        for segments in self._tiers.values():
            segments.close()

    def _keep(self, fragments: list[Fragment]) -> None:
        lines: dict[Tier, list[bytes]] = {tier: [] for tier in TIERS}
        for fragment in fragments:
            lines["ordinary" if fragment.kept in ORDINARY else "remarkable"].append(encode(fragment))
        for tier, of_tier in lines.items():
            try:
                self._tiers[tier].append(of_tier)
            except OSError as error:
                if not self._told:
                    _log.warning("traces are not kept", error=str(error))
                self._told = True
