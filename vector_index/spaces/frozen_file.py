"""A space that is small enough to be copied in memory for its snapshot."""

from __future__ import annotations

from pathlib import Path

from vector_index.segments.files import FileSum, sync


class FrozenFile:
    """One file's content, made when the space was frozen."""

    def __init__(self, name: str, content: bytes) -> None:
        self._name = name
        self._content = content

    def save(self, folder: Path) -> dict[str, FileSum]:
        """Write it; nothing is known of its sum."""
        path = folder / self._name
        path.write_bytes(self._content)
        sync(path)
        return {}

    def close(self) -> None:
        """Nothing is held."""
