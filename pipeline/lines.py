"""Which line of which file was this? Needed only for lines that are refused.

Flink's file source hands out a line and its path, not its number; the number of such a line is found by reading the
file again, once, and keeping the positions of exactly those lines that are bad. Equal bad lines take their positions
in order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path


class LinePositions:
    """Numbers (1-based) of the bad lines.

    Args:
        root: the source's file or folder; names are relative to it.
        is_bad: whether a line is refused; asked of every line of a file in which one was.
    """

    def __init__(self, root: Path, is_bad: Callable[[bytes], bool]) -> None:
        self._root = root if root.is_dir() else root.parent
        self._is_bad = is_bad
        self._positions: dict[str, dict[bytes, deque[int]]] = {}

    def where(self, path: str, line: bytes) -> str:
        """`<file>:<line>`; the file is relative to the source, `?` stands for a line that is no longer there."""
        positions = self._positions.get(path)
        if positions is None or not positions.get(_key(line)):
            positions = self._positions[path] = self._read(Path(path))
        waiting = positions.get(_key(line))
        number = str(_take(waiting)) if waiting else "?"
        return f"{self.relative(path)}:{number}"

    def relative(self, path: str) -> str:
        """A file's name relative to the source."""
        try:
            return Path(path).relative_to(self._root).as_posix()
        except ValueError:
            return Path(path).name

    def _read(self, path: Path) -> dict[bytes, deque[int]]:
        found: dict[bytes, deque[int]] = defaultdict(deque)
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.rstrip(b"\r\n")
                if self._is_bad(line):
                    found[_key(line)].append(number)
        return dict(found)


def _take(waiting: deque[int]) -> int:
    """The next position; the last one stays, so that a replay after a restart still finds it."""
    return waiting.popleft() if len(waiting) > 1 else waiting[0]


def _key(line: bytes) -> bytes:
    return blake2b(line.rstrip(b"\r\n"), digest_size=12).digest()
