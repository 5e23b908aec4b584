"""Character 2- and 3-grams of a normalised text, and how rare each is.

A gram is one uint64 that holds its characters (21 bits each), so that equal keys are equal grams: the embedding hashes
them, the ranker compares them as they are.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

RARITY_BUCKETS: Final = 1 << 16
RARITY_STEPS: Final = 20.0
"""The table holds round(idf * 20) as uint8: idf 0 to 12.75."""


class Grams(msgspec.Struct, frozen=True):
    """Distinct grams of one text. `keys`: uint64 (n,), ascending; `counts`: int64 (n,), how often each occurs."""

    keys: NDArray[np.uint64]
    counts: NDArray[np.int64]


def grams(normal: str) -> Grams:
    """The distinct 2- and 3-grams of a normalised text; none for fewer than two characters."""
    points = np.frombuffer(normal.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    pairs = points[:-1] | (points[1:] << np.uint64(21))
    triples = pairs[:-1] | ((points[2:] + np.uint64(1)) << np.uint64(42))
    found = np.concatenate((pairs, triples))
    if not found.size:
        return Grams(found, np.zeros(0, np.int64))
    found.sort()  # as `np.unique` does it, for half of its time
    first = np.flatnonzero(np.concatenate(((True,), found[1:] != found[:-1])))
    return Grams(found[first], np.diff(first, append=found.size))


def mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A stable 64-bit hash of each key: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    z = keys + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def rarity(hashes: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Inverse document frequency of grams, given their hashes (`mix`): about 1 for the commonest, 10 for unseen ones.

    Each gram looks into two buckets and believes the rarer, as in a count-min sketch (Cormode & Muthukrishnan, 2005).
    """
    table = _rarity_table()
    rarer: NDArray[np.float32] = np.maximum(
        table[hashes >> np.uint64(48)], table[(hashes >> np.uint64(32)) & np.uint64(0xFFFF)]
    )
    return rarer


@cache
def _rarity_table() -> NDArray[np.float32]:
    packed = files("materials").joinpath("data", "gram_rarity.u8").read_bytes()
    table = np.frombuffer(packed, dtype=np.uint8).astype(np.float32) / np.float32(RARITY_STEPS)
    if table.size != RARITY_BUCKETS:
        raise ValueError(f"materials/data/gram_rarity.u8 has {table.size} bytes instead of {RARITY_BUCKETS}")
    return table
