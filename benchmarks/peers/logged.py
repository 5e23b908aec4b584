"""An engine that is memory only, behind the cheapest log that makes its answers durable.

A batch's ids and vectors are appended to one file and synced before the answer: what anyone who used such an engine for
acknowledged writes would have to add at least. There are no transactions, checksums or content IDs in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.protocol import Ids, Peer, Vectors


class Logged:
    """A `Peer` around another one."""

    durability = "log, fsync of every batch"

    def __init__(self, inner: Peer) -> None:
        self._inner = inner
        self.efforts = inner.efforts
        self._log = -1

    def open(self, dim: int, folder: Path, threads: int, capacity: int) -> None:
        """Open both."""
        self._log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._inner.open(dim, folder, threads, capacity)

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Not logged: it is not measured."""
        self._inner.load(ids, vectors)

    def set_effort(self, effort: int) -> None:
        """The inner one's."""
        self._inner.set_effort(effort)

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """The log first."""
        os.writev(self._log, [ids.tobytes(), vectors.tobytes()])
        os.fdatasync(self._log)
        return self._inner.add_and_search(ids, vectors, k)

    def close(self) -> None:
        """Close both."""
        os.close(self._log)
        self._inner.close()
