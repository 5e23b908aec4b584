"""Videos: every sampled frame is a vector of its own; a row scores the mean of its best frame similarities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from vector_index.segments.arrays import Matrix
from vector_index.segments.saving import Frozen
from vector_index.segments.settings import SegmentSettings
from vector_index.segments.store import SegmentedStore

FRAME_BITS = 12
"""A frame's id is row << 12 | its number: at most 4,096 frames a video."""
MAX_FRAMES = 1 << FRAME_BITS
QUERY_FRAMES = 32
"""Frames of the query that are searched, evenly spread: recall needs a glimpse, fine ranking sees them all."""
HITS_PER_FRAME = 96
BEST = 8
"""Frames that make a row's score: a clip of four seconds inside an hour is found by its eight frames."""


def frames_of(feature: Feature) -> Matrix:
    """`timed-vectors` float32 [n, 1 + d] -> the unit vectors [n, d] without their seconds."""
    return np.ascontiguousarray(feature.array()[:MAX_FRAMES, 1:], dtype=np.float32)


def thin(frames: Matrix, count: int = QUERY_FRAMES) -> Matrix:
    """At most `count` rows, evenly spread, the first and the last among them."""
    if len(frames) <= count:
        return frames
    return np.ascontiguousarray(frames[np.linspace(0, len(frames) - 1, count).round().astype(np.int64)])


class TimedSpace:
    """Recall over `timed-vectors` (float32 [n, 1 + d]): cosine of the best matching frames, at most `BEST` of them."""

    def __init__(self, home: Path | None = None, settings: SegmentSettings | None = None) -> None:
        self.store = SegmentedStore(home, settings)
        self._frames: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make the features searchable; a video without frames is stored and never found. A row that is
        here already is replaced."""
        self.remove(rows)
        ids: list[NDArray[np.int64]] = []
        vectors: list[Matrix] = []
        for row, feature in zip(rows, features, strict=True):
            frames = frames_of(feature)
            self._frames[row] = len(frames)
            if len(frames):
                ids.append((np.int64(row) << FRAME_BITS) + np.arange(len(frames), dtype=np.int64))
                vectors.append(frames)
        if ids:
            self.store.add(np.concatenate(ids), np.concatenate(vectors))

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        ids = [(row << FRAME_BITS) + i for row in rows for i in range(self._frames.pop(row, 0))]
        self.store.remove(np.asarray(ids, np.int64))

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """Up to k (row, score) a query, best first."""
        return [self._search(thin(frames_of(query)), k) for query in queries]

    def _search(self, frames: Matrix, k: int) -> list[tuple[int, float]]:
        scores, ids = self.store.search(frames, max(HITS_PER_FRAME, 2 * k))
        best: defaultdict[int, list[float]] = defaultdict(list)
        for frame_scores, frame_rows in zip(scores.tolist(), (ids >> FRAME_BITS).tolist(), strict=True):
            seen: set[int] = set()
            for score, row in zip(frame_scores, frame_rows, strict=True):  # best first: the first of a row is its best
                if row >= 0 and row not in seen:
                    seen.add(row)
                    best[row].append(score)
        found = [(row, self._score(similarities, len(frames), row)) for row, similarities in best.items()]
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:k]

    def _score(self, similarities: list[float], query_frames: int, row: int) -> float:
        count = min(BEST, query_frames, self._frames.get(row, BEST))  # gone meanwhile: its vectors go next
        return sum(sorted(similarities, reverse=True)[:count]) / count

    def frozen(self) -> Frozen:
        """What there is now, for a snapshot."""
        return self.store.frozen()

    def load(self, folder: Path) -> None:
        """Replace the content by a snapshot's; how many frames each row has is read from the ids."""
        self.store.load(folder)
        rows, counts = np.unique(self.store.rows() >> FRAME_BITS, return_counts=True)
        self._frames = dict(zip(rows.tolist(), counts.tolist(), strict=True))

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until the background has nothing to do; False after `timeout` seconds."""
        return self.store.settle(timeout)

    def close(self) -> None:
        """End the background."""
        self.store.close()
