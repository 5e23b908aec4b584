"""The array types of this room, and FAISS without its stubs, which lack half of what SWIG makes."""

from __future__ import annotations

from typing import Any

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
