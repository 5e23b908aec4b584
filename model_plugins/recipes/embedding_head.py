"""The linear head that turns pooled feature maps into the 256-d embedding: an int8 matrix in a small file.

It is fitted by `benchmarks/fit/image_head.py` on attacked copies of photos that come in packages.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

HEAD_FILE = Path(__file__).parent / "data" / "head.npz"


class EmbeddingHead(msgspec.Struct, frozen=True):
    """y = (x - mean) @ weight, then L2 norm.

    `mean`: float32 [d]. `weight`: float32 [d, 256], read from int8 codes and one float32 scale per output.
    """

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]

    @property
    def bias(self) -> NDArray[np.float32]:
        """-mean @ weight, float32 [256]; summed in float64, so that it is the same on every machine to the last bit
        but for the order of the sum, which is fixed by accumulating row by row."""
        total = np.zeros(self.weight.shape[1])
        for mean, row in zip(self.mean.astype(np.float64), self.weight.astype(np.float64), strict=True):
            total -= mean * row
        return total.astype(np.float32)


def quantise(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 codes [d, k] and scales [k], so that codes * scales is near the weight (half a step at most)."""
    scale = np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny).astype(np.float32) / np.float32(127)
    return np.rint(weight / scale).clip(-127, 127).astype(np.int8), scale


def save_head(path: Path, head: EmbeddingHead) -> None:
    """Write `mean` (float16), `codes` (int8) and `scale` (float32)."""
    codes, scale = quantise(head.weight)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, mean=head.mean.astype(np.float16), codes=codes, scale=scale)


def load_head(path: Path = HEAD_FILE) -> EmbeddingHead:
    """Read a head as `save_head` writes it.

    Raises:
        ValueError: the arrays do not fit each other.
    """
    with np.load(path, allow_pickle=False) as file:
        mean, codes, scale = file["mean"].astype(np.float32), file["codes"], file["scale"].astype(np.float32)
    if codes.dtype != np.int8 or codes.shape != (mean.size, scale.size):
        raise ValueError(f"{path}: codes {codes.dtype}{codes.shape} do not fit mean {mean.shape}, scale {scale.shape}")
    return EmbeddingHead(mean=mean, weight=codes.astype(np.float32) * scale)
