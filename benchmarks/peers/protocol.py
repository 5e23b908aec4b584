"""What the harness asks of an engine that ours is held against. Needs numpy alone: an adapter has its own environment.

An adapter is a module `benchmarks/peers/NAME.py` (dashes as underscores) with a class `Engine` that fits `Peer`. The
harness runs it in a process of its own, with the interpreter that `environment.python_of(NAME)` gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class Peer(Protocol):
    """One engine. Vectors are float32 [n, dim], unit norm; nearness is the inner product."""

    durability: str
    """What an answer of `add_and_search` outlives, in words: `memory only`, `log, fsync of every batch`, …"""
    efforts: tuple[int, ...]
    """Values of its search knob (ef, nprobe, window, …), cheapest first; `()` where it has none."""

    def open(self, dim: int, folder: Path, threads: int, capacity: int) -> None:
        """Make an empty store.

        Args:
            folder: empty; whatever it keeps on disk goes there.
            threads: cores that it may use at a time.
            capacity: vectors that it will hold at most.
        """
        ...

    def load(self, ids: Ids, vectors: Vectors) -> None:
        """Store many at once, and build what search needs; not measured."""
        ...

    def set_effort(self, effort: int) -> None:
        """Turn the search knob."""
        ...

    def add_and_search(self, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
        """Search what is stored, then store the batch, so that the next call finds it.

        Returns:
            Ids and scores [n, k], best first; -1 where there is no more.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def module_name(engine: str) -> str:
    """`qdrant-edge` -> `benchmarks.peers.qdrant_edge`."""
    return f"benchmarks.peers.{engine.replace('-', '_')}"


def load_engine(engine: str) -> Peer:
    """A new, closed engine.

    Raises:
        ModuleNotFoundError: no such adapter, or its library is not in this environment.
    """
    from importlib import import_module

    made: Any = import_module(module_name(engine)).Engine()
    peer: Peer = made
    return peer
