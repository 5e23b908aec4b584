"""hnswlib behind a log that is synced before every answer."""

from __future__ import annotations

from benchmarks.peers import hnswlib
from benchmarks.peers.logged import Logged


class Engine(Logged):
    """A `Peer`."""

    def __init__(self) -> None:
        super().__init__(hnswlib.Engine())
