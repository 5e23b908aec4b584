"""What the segments of a space share: the cells of the inverted file and the ranges of its codes.

With one codebook the coarse search is done once for all segments, and sealing and merging copy codes without coding
anything again. Codes: 8-bit scalars (`sq8`), or RaBitQ (`rabitq`, one bit a dimension and two factors: Gao and Long,
"RaBitQ", SIGMOD 2024) where 8-bit codes would not fit the memory budget.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vector_index.segments.arrays import Matrix, Places, faiss
from vector_index.segments.settings import LEAST_CELLS, Probe

Codes = Literal["sq8", "rabitq"]
POINTS_PER_CELL = 39
"""FAISS asks for at least 39 training points a cell, below which it warns (32 measured enough)."""
TRAINING_ROUNDS = 6
ID_BYTES = 8
DEVIATIONS = 4.0
"""Standard deviations of the codes' error that are reckoned with."""
RECENT = 2048
"""Vectors whose nearest cell is remembered between search and add: two megabytes at 256 dimensions."""


def code_bytes(codes: Codes, dim: int) -> int:
    """Bytes of a code with its id, in memory."""
    return ID_BYTES + (dim if codes == "sq8" else (dim + 7) // 8 + 8)


def cells_for(count: int, max_cells: int) -> int:
    """Cells for a space of so many vectors."""
    return max(1, min(max_cells, count // POINTS_PER_CELL))


class Codebook:
    """Trained cells and code ranges.

    Attributes:
        name: hex digest of the content, so that two equal codebooks are one.
        codes: how vectors are coded.
        trained_at: vectors that the space had when it was trained.
        error: beyond which a score by the codes is hardly ever off, for unit vectors; infinite for RaBitQ.
    """

    def __init__(self, template: Any, codes: Codes, trained_at: int, probe: Probe) -> None:
        self._template = template
        self._quantizer = faiss.downcast_index(template.quantizer)
        self._recent: dict[bytes, int] = {}
        """Vectors that were searched for, and their nearest cell."""
        self.codes: Codes = codes
        self.trained_at = trained_at
        self.nprobe = min(probe.cells, int(template.nlist))
        self._margin = probe.margin
        self._template.nprobe = self.nprobe
        centroids = np.asarray(self._quantizer.reconstruct_n(0, template.nlist), np.float32)
        trained = faiss.vector_to_array(template.sq.trained) if codes == "sq8" else np.zeros(0, np.float32)
        self.error = _code_error(trained) if codes == "sq8" else math.inf
        digest = hashlib.blake2b(f"{codes} {trained_at}".encode(), digest_size=8)
        digest.update(centroids.tobytes())
        digest.update(trained.tobytes())
        self.name = digest.hexdigest()

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(self._template.nlist)

    @property
    def dim(self) -> int:
        """Dimensions."""
        return int(self._template.d)

    def empty(self) -> Any:
        """A new inverted file with these cells."""
        index = faiss.clone_index(self._template)
        index.nprobe = self.nprobe
        return index

    def coarse(self, queries: Matrix) -> tuple[Matrix, Places]:
        """Nearest cells [n, nprobe], -1 for those beyond the margin, and their inner products: for
        `search_preassigned` of every segment."""
        products, cells = self._quantizer.search(queries, self.nprobe)
        if len(self._recent) > RECENT:
            self._recent.clear()
        first = cells[:, 0].tolist()
        self._recent.update((vector.tobytes(), cell) for vector, cell in zip(queries, first, strict=True))
        far = products[:, LEAST_CELLS:] < products[:, :1] - self._margin
        cells[:, LEAST_CELLS:][far] = -1
        return products, cells

    def nearest(self, vectors: Matrix) -> Places:
        """The cell [n] that each vector is stored in. What is stored was, as a rule, searched for just before."""
        recent = self._recent
        known = [recent.get(vector.tobytes(), -1) for vector in vectors] if recent else []
        if known and -1 not in known:
            return np.array(known, np.int64)
        cells: Places = self._quantizer.search(vectors, 1)[1].ravel()
        return cells

    def save(self, path: Path) -> None:
        """Write the empty index."""
        faiss.write_index(self._template, str(path))


def _code_error(trained: NDArray[np.float32]) -> float:
    """Of the inner product of a unit vector with 8-bit codes: rounding is uniform within a step, and independent by
    dimension. `trained` [2 d]: least values, ranges."""
    steps = trained[len(trained) // 2 :] / 255.0
    return DEVIATIONS * float(np.sqrt(np.square(steps).max() / 12.0))


def load_codebook(path: Path, codes: Codes, trained_at: int, probe: Probe) -> Codebook:
    """Read a codebook.

    Raises:
        RuntimeError: FAISS cannot read it.
    """
    return Codebook(faiss.read_index(str(path)), codes, trained_at, probe)


def train(sample: Matrix, count: int, codes: Codes, max_cells: int, probe: Probe) -> Codebook:
    """Cells and ranges for a space of `count` vectors, from a sample of it [n, d]."""
    dim = sample.shape[1]
    cells = max(1, min(cells_for(count, max_cells), len(sample)))
    quantizer = faiss.IndexFlatIP(dim)
    if codes == "sq8":
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, dim, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        )
    else:
        index = faiss.IndexIVFRaBitQ(quantizer, dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.own_fields = True
    quantizer.this.disown()
    index.cp.niter = TRAINING_ROUNDS
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = POINTS_PER_CELL
    index.train(sample)
    return Codebook(index, codes, count, probe)
