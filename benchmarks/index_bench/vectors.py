"""Vectors as embeddings of real feeds lie: Zipf-sized clusters of low dimension, and planted near-duplicates."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

DIM = 256
CLUSTERS = 3000
LOCAL = 32
BASES = 64
GLOBAL = 64
COSINES = (0.80, 0.85, 0.90, 0.95, 0.99)
LEAST = 1e-4
"""A shorter direction is rounding alone: a row drawn as its own neighbour."""
CHUNK = 100_000
VERSION = 1
Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def cache_folder() -> Path:
    """Where built vectors and indexes are kept: `$SOSIE_BENCH_CACHE`, else under the user's cache."""
    chosen = os.environ.get("SOSIE_BENCH_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "sosie" / "benchmarks" / "index"


class Mixture:
    """Clusters with centres in a common subspace; around each, points in one of `BASES` local subspaces, and noise."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        common = rng.standard_normal((GLOBAL, DIM)) / np.sqrt(DIM)
        centres = (rng.standard_normal((CLUSTERS, GLOBAL)) * np.arange(1, GLOBAL + 1) ** -0.35) @ common
        self._centres = _unit(centres)
        bases = rng.standard_normal((BASES, LOCAL, DIM))
        self._bases = (bases / np.linalg.norm(bases, axis=2, keepdims=True)).astype(np.float32)
        shares = np.arange(1, CLUSTERS + 1) ** -0.7
        self._shares = shares / shares.sum()
        self._spread = rng.uniform(0.6, 1.4, CLUSTERS).astype(np.float32)
        decay = np.arange(1, LOCAL + 1) ** -0.3
        self._decay = (decay / np.linalg.norm(decay)).astype(np.float32)

    def draw(self, count: int, seed: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Unit vectors float32 [count, 256] and their clusters [count]."""
        rng = np.random.default_rng(seed)
        clusters = rng.choice(CLUSTERS, count, p=self._shares)
        inside = rng.standard_normal((count, LOCAL), dtype=np.float32) * self._decay
        points = np.empty((count, DIM), np.float32)
        for base in range(BASES):
            mine = np.flatnonzero(clusters % BASES == base)
            points[mine] = inside[mine] @ self._bases[base]
        points *= self._spread[clusters][:, None]
        points += self._centres[clusters]
        points += rng.standard_normal((count, DIM), dtype=np.float32) * np.float32(0.15 / np.sqrt(DIM))
        return _unit(points), clusters


def _unit(vectors: NDArray[np.floating]) -> Vectors:
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def plant(base: Vectors, count: int, seed: int) -> tuple[Vectors, Rows]:
    """Near-duplicates at `COSINES` in turn of random rows, half of the way off in a random direction and half towards
    another stored vector (an edit looks like other pictures): vectors [count, d] and the rows [count]."""
    rng = np.random.default_rng(seed)
    sources = rng.choice(len(base), count, replace=len(base) < count)
    cosines = np.array(COSINES, np.float32)[np.arange(count) % len(COSINES)][:, None]
    originals = np.asarray(base[np.sort(sources)])[np.argsort(np.argsort(sources))]
    sideways = _across(rng.standard_normal((count, DIM), dtype=np.float32), originals)
    towards = _across(originals[rng.permutation(count)], originals)
    off = _unit(_across(sideways + towards, originals))
    return _unit(cosines * originals + np.sqrt(1 - cosines**2) * off), sources.astype(np.int64)


def _across(directions: Vectors, originals: Vectors) -> Vectors:
    """The directions' unit components at right angles to the originals; 0 where there is none."""
    across = directions - (directions * originals).sum(axis=1, keepdims=True) * originals
    lengths = np.linalg.norm(across, axis=1, keepdims=True)
    return np.asarray(across / np.where(lengths > LEAST, lengths, np.inf), np.float32)


class Stream(msgspec.Struct, frozen=True):
    """What comes in after `base` is stored: every second vector is planted. `source`: its row, -1 for a fresh one."""

    vectors: Vectors
    source: Rows


def base_vectors(n: int) -> Vectors:
    """n vectors, memory-mapped from the cache, where they are made first."""
    path = cache_folder() / f"base-{n}-v{VERSION}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        mixture = Mixture()
        unfinished = path.with_suffix(f".{os.getpid()}.tmp.npy")
        out = np.lib.format.open_memmap(unfinished, "w+", np.float32, (n, DIM))
        for number, start in enumerate(range(0, n, CHUNK)):
            count = min(CHUNK, n - start)
            out[start : start + count] = mixture.draw(count, 100 + number)[0]
        out.flush()
        unfinished.rename(path)
    stored: Vectors = np.load(path, mmap_mode="r")
    return stored


def stream_after(base: Vectors, count: int, seed: int = 7) -> Stream:
    """`count` vectors in the order in which they come."""
    fresh, _ = Mixture().draw(count - count // 2, 50_000 + seed)
    copies, rows = plant(base, count // 2, seed)
    vectors = np.empty((count, DIM), np.float32)
    vectors[0::2], vectors[1::2] = fresh, copies
    source = np.full(count, -1, np.int64)
    source[1::2] = rows
    return Stream(vectors, source)


def exact_ranks(base: Vectors, queries: Vectors, sources: Rows) -> NDArray[np.int64]:
    """How many stored vectors are nearer to each query than its source: 0 where exact search finds it first."""
    ranks = np.zeros(len(queries), np.int64)
    order = np.argsort(sources)
    reached = np.empty(len(queries), np.float32)
    reached[order] = np.einsum("nd,nd->n", queries[order], np.asarray(base[sources[order]]))
    for start in range(0, len(base), 20_000):
        ranks += (queries @ np.asarray(base[start : start + 20_000]).T > reached[:, None] + 1e-6).sum(axis=1)
    return ranks
