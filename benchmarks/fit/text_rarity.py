"""Fit `materials/data/gram_rarity.u8`: how rare character grams are, hashed into 2^16 bytes.

python -m benchmarks.fit.text_rarity [--cache DIR]
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit.photos import default_cache
from benchmarks.fit.text_corpus import texts
from materials.ngrams import RARITY_BUCKETS, RARITY_STEPS, grams, mix
from materials.text import normalise

TABLE = Path(__file__).resolve().parents[2] / "materials" / "data" / "gram_rarity.u8"


def rarity_table(documents: list[str]) -> NDArray[np.uint8]:
    """Per bucket the smoothed idf, ln((1 + N) / (1 + df)) + 1, of the commonest gram that falls into it, times 20."""
    frequency: Counter[int] = Counter()
    for document in documents:
        frequency.update(grams(normalise(document)).keys.tolist())
    keys = np.fromiter(frequency.keys(), dtype=np.uint64, count=len(frequency))
    counts = np.fromiter(frequency.values(), dtype=np.int64, count=len(frequency))
    hashes = mix(keys)
    commonest = np.zeros(RARITY_BUCKETS, dtype=np.int64)
    for buckets in (hashes >> np.uint64(48), (hashes >> np.uint64(32)) & np.uint64(0xFFFF)):
        np.maximum.at(commonest, buckets.astype(np.int64), counts)
    idf = np.log((1 + len(documents)) / (1 + commonest)) + 1
    return np.clip(np.rint(idf * RARITY_STEPS), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache())
    documents = texts(parser.parse_args().cache)
    table = rarity_table(documents)
    TABLE.write_bytes(table.tobytes())
    print(f"{len(documents)} texts; idf {table.min() / RARITY_STEPS:.2f} to {table.max() / RARITY_STEPS:.2f}; {TABLE}")


if __name__ == "__main__":
    main()
