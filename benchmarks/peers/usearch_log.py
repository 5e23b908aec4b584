"""usearch behind a log that is synced before every answer."""

from __future__ import annotations

from benchmarks.peers import usearch
from benchmarks.peers.logged import Logged


class Engine(Logged):
    """A `Peer`."""

    def __init__(self) -> None:
        super().__init__(usearch.Engine())
