"""What a recall path is. The engine holds one per plug-in version. One thread writes; any number search meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from materials.records import Feature
from vector_index.segments.files import FileSum


class Frozen(Protocol):
    """What a space held at one moment, to be saved while it goes on. Saved once, or closed."""

    def save(self, folder: Path) -> dict[str, FileSum]:
        """Write into an existing, empty folder, synced; the sums that are known already, by path inside it.

        Raises:
            OSError: the disk refuses.
        """
        ...

    def close(self) -> None:
        """It is not wanted, or was saved."""
        ...


class Space(Protocol):
    """Vectors of one embedding version. Rows are the engine's own int64 ids, one per stored material."""

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make the features searchable at once. A row that is here already is replaced."""
        ...

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        ...

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """For each query up to k (row, score), best first, one entry per row; higher is nearer."""
        ...

    def frozen(self) -> Frozen:
        """What there is now, for a snapshot. Short: saving it is what takes time."""
        ...

    def load(self, folder: Path) -> None:
        """Replace the content by what a `Frozen` saved.

        Raises:
            SegmentError, OSError, ValueError: it cannot be read.
        """
        ...

    def __len__(self) -> int:
        """Stored rows."""
        ...

    def close(self) -> None:
        """End whatever runs in the background."""
        ...
