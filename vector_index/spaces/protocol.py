"""What a recall path is. The engine holds one per plug-in version and calls it under its own lock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from materials.records import Feature


class Space(Protocol):
    """Vectors of one embedding version. Rows are the engine's own int64 ids, one per stored material.

    FAISS takes a duplicate id silently: callers remove before they add again.
    """

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make the features searchable at once."""
        ...

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        ...

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """For each query up to k (row, score), best first, one entry per row; higher is nearer."""
        ...

    def save(self, path: Path) -> None:
        """Write a snapshot file."""
        ...

    def load(self, path: Path) -> None:
        """Replace the content by a snapshot's."""
        ...

    def __len__(self) -> int:
        """Stored rows."""
        ...
