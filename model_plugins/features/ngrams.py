"""Character n-grams of a text, hashed into a dense unit vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materials.ngrams import grams, mix, rarity

DIMENSIONS = 512
_PROJECTIONS = 4
_BLOCK = DIMENSIONS // _PROJECTIONS


def hashed_ngrams(normal: str) -> NDArray[np.float32] | None:
    """Signed feature hashing (Weinberger et al., ICML 2009) of sublinear tf x idf.

    Each gram adds its weight, with a sign of its own, to one place in each of four blocks of 128: four places instead
    of one make inner products of short texts less noisy, and separate blocks keep a gram from cancelling itself.

    Args:
        normal: text as `materials.text.normalise` gives it.

    Returns:
        float32 (512,), unit norm; None where there is nothing to compare (fewer than two characters).
    """
    found = grams(normal)
    hashes = mix(found.keys)
    weights = (1.0 + np.log(found.counts)) * rarity(hashes)
    vector = np.zeros(DIMENSIONS)
    for block in range(_PROJECTIONS):
        bits = (hashes >> np.uint64(8 * block)).astype(np.int64) & 0xFF
        signed = np.where(bits & 0x80, -weights, weights)
        vector[block * _BLOCK : (block + 1) * _BLOCK] = np.bincount(bits & 0x7F, signed, _BLOCK)
    norm = float(np.linalg.norm(vector))
    return (vector / norm).astype(np.float32) if norm > 0.0 else None
