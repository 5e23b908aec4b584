"""The array types of this room, and FAISS without its stubs, which lack half of what SWIG makes."""

from __future__ import annotations

import os
from typing import Any

# before FAISS loads OpenMP: threads that have done their part sleep, and leave the core to the next step
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

faiss: Any = _faiss
Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
Places = NDArray[np.int64]
"""Positions in a segment, -1 for none."""
Flags = NDArray[np.bool_]


def no_rows() -> Rows:
    """An empty array of rows."""
    return np.zeros(0, np.int64)


def search_with(threads: int) -> None:
    """Searches that this thread makes from now on spread over so many."""
    faiss.omp_set_num_threads(threads)
