"""Recall by local features: each of a picture's keypoints votes for the stored pictures that have one like it.

The second way to a copy, beside the embedding: a crop or a picture pasted into another keeps many of its keypoints and
little of its global look. Descriptors lie in an inverted file of 8-bit codes. Its cells ship with the code (fitted by
`benchmarks/fit/local_features.py`), so an empty index needs no training and two indexes agree on every score.

The cells are closed under mirroring (the second half is the mirrored first half), so one coarse search serves the query
and its mirrored twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from vector_index.crash_points import reached
from vector_index.segments.rwlock import ReadWriteLock
from vector_index.spaces.frozen_file import FrozenFile

COMPONENTS = 48
ODD = 24
"""The last 24 components of a mirrored picture's descriptors have the other sign."""
CELLS_SEARCHED = 4
NEIGHBOURS = 12
"""Nearest stored descriptors that a keypoint may vote for, each way round."""
QUIET, LOUD = 0.8, 0.9
"""A vote weighs by how far it stands out from the last neighbour; that background is taken as no less than what two
unrelated pictures reach in a small index, and no more than what leaves a picture that was posted a hundred times its
votes."""
FORMAT = 1
VOTES = "votes.npz"
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@cache
def centroids() -> Floats:
    """float32 [cells, 48], unit norm; row i + cells / 2 is row i mirrored."""
    path = files("vector_index.spaces") / "data" / "keypoint_centroids.npz"
    with path.open("rb") as stream, np.load(stream) as data:
        half = data["half"].astype(np.float32)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.ascontiguousarray(np.concatenate([half, mirrored(half)]))


def mirrored(descriptors: Floats) -> Floats:
    """The descriptors [n, 48] that the mirrored picture has."""
    turned = descriptors.copy()
    turned[:, COMPONENTS - ODD :] *= -1
    return turned


def descriptors_of(feature: Feature) -> Floats:
    """float32 [n, 48], unit norm, of a feature uint8 [n, 52].

    Raises:
        ValueError: another shape.
    """
    rows = feature.array()
    if rows.ndim != 2 or rows.shape[1] != COMPONENTS + 4:
        raise ValueError(f"keypoints have shape (n, {COMPONENTS + 4}), not {rows.shape}")
    vectors = np.ascontiguousarray(rows[:, 4:]).view(np.int8).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6
    return vectors


@cache
def _quantizer() -> Any:
    index: Any = faiss.IndexFlatIP(COMPONENTS)
    index.add(centroids())
    return index


class KeypointVotes:
    """A `Space` over features of schema `keypoints`; a score is the square root of the summed weight of the votes.

    Each stored picture has a slot, the identifier of all its descriptors in the inverted file; a removed one leaves a
    dead slot whose votes are dropped, until a quarter of all is dead and the file is swept.
    """

    def __init__(self) -> None:
        self._lock = ReadWriteLock()
        self._slots: dict[int, int] = {}
        self._rows: list[int] = []  # by slot; -1 is dead
        self._swept = 0  # dead slots that have no descriptors any more
        self._index: Any = self._empty()

    @staticmethod
    def _empty() -> Any:
        cells = centroids()
        index: Any = faiss.IndexIVFScalarQuantizer(
            _quantizer(),
            COMPONENTS,
            len(cells),
            faiss.ScalarQuantizer.QT_8bit_direct_signed,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.is_trained = True  # the cells are given and the codes are fixed
        return index

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def descriptors(self) -> int:
        """Descriptors in the inverted file, those of dead slots included."""
        return int(self._index.ntotal)

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make pictures searchable. A row that is here already is replaced."""
        vectors = [descriptors_of(feature) for feature in features]
        with self._lock.write():
            self._remove(rows)
            slots = []
            for row, found in zip(rows, vectors, strict=True):
                slot = len(self._rows)
                self._rows.append(row)
                self._slots[row] = slot
                slots.append(np.full(len(found), slot, np.int64))
            if vectors and sum(map(len, vectors)):
                self._index.add_with_ids(np.rint(np.concatenate(vectors) * 127), np.concatenate(slots))

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        with self._lock.write():
            self._remove(rows)

    def _remove(self, rows: Sequence[int]) -> None:
        for row in rows:
            slot = self._slots.pop(row, None)
            if slot is not None:
                self._rows[slot] = -1
        dead = len(self._rows) - len(self._slots) - self._swept
        if dead > 64 and dead * 4 > len(self._rows) - self._swept:
            reached("compaction")
            gone = np.flatnonzero(np.array(self._rows) < 0).astype(np.int64)
            self._index.remove_ids(faiss.IDSelectorBatch(gone))
            self._swept = len(gone)

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """For each query up to k (row, score), best first."""
        found = []
        for query in queries:
            descriptors = descriptors_of(query)
            with self._lock.read():
                found.append(self._search(descriptors, k))
        return found

    def _search(self, query: Floats, k: int) -> list[tuple[int, float]]:
        if not len(query) or not self._slots:
            return []
        near, cells = _quantizer().search(query, CELLS_SEARCHED)
        half = len(centroids()) // 2
        rows = np.array(self._rows, np.int64)
        # codes are components times 127: scaling the query by 1/127 gives cosines
        here = self._votes(query, near, cells, rows)
        there = self._votes(mirrored(query), near, (cells + half) % (2 * half), rows)
        weight = np.sqrt(np.maximum(here, there))
        best = np.argsort(-weight, kind="stable")[:k]
        return [(int(rows[slot]), float(weight[slot])) for slot in best if weight[slot] > 0]

    def _votes(self, query: Floats, near: Floats, cells: Rows, rows: Rows) -> NDArray[np.float64]:
        """Summed weight of the votes by slot."""
        self._index.nprobe = cells.shape[1]
        cosine, slots = self._index.search_preassigned(query / 127, NEIGHBOURS, cells, near)
        found = slots >= 0
        background = np.where(found[:, -1], cosine[:, -1], -1.0).clip(QUIET, LOUD)
        weight = np.maximum(cosine - background[:, None], 0.0)
        weight[~found] = 0.0
        slots = np.where(found, slots, 0)
        # a keypoint votes once for a picture, however many of its keypoints are like it
        order = np.argsort(slots, axis=1, kind="stable")
        ordered = np.take_along_axis(slots, order, axis=1)
        again = np.zeros(slots.shape, bool)
        again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        weighed = np.where(again, 0.0, np.take_along_axis(weight, order, axis=1))
        total = np.bincount(ordered.ravel(), weights=weighed.ravel(), minlength=len(rows))
        return np.where(rows < 0, 0.0, total)

    def frozen(self) -> FrozenFile:
        """What there is now, copied, for a snapshot."""
        stream = BytesIO()
        with self._lock.read():
            index, rows, swept = faiss.serialize_index(self._index), np.array(self._rows, np.int64), self._swept
        np.savez(stream, format=np.int64(FORMAT), index=index, rows=rows, swept=np.int64(swept))
        return FrozenFile(VOTES, stream.getvalue())

    def load(self, folder: Path) -> None:
        """Replace the content by a snapshot's.

        Raises:
            ValueError: another format, or other cells than this code's.
        """
        path = folder / VOTES
        with path.open("rb") as stream, np.load(stream) as data:
            if int(data["format"]) != FORMAT:
                raise ValueError(f"{path.name}: keypoint snapshot of format {int(data['format'])}, not {FORMAT}")
            index: Any = faiss.deserialize_index(data["index"])
            rows, swept = data["rows"].tolist(), int(data["swept"])
        if not np.array_equal(faiss.downcast_index(index.quantizer).reconstruct_n(0, index.nlist), centroids()):
            raise ValueError(f"{path.name}: keypoint snapshot with other cells: rebuild the space from the log")
        with self._lock.write():
            self._index, self._rows, self._swept = index, rows, swept
            self._slots = {row: slot for slot, row in enumerate(rows) if row >= 0}

    def close(self) -> None:
        """Nothing runs in the background."""
