"""What leaving out far cells saves and loses: cells searched, and what is still found, by margin (`Probe`).

    .venv/bin/python benchmarks/cell_margin.py --n 1000000
    .venv/bin/python benchmarks/cell_margin.py --texts BENCH-FOLDER [BENCH-FOLDER …]

With `--n` the vectors of `benchmarks/index.py`, in the cells of its prepared state: planted copies of stored vectors,
how far behind the nearest centre their original's cell is, and the share found. With `--texts` the embeddings of real
texts of copy-detection sets (as `benchmarks/quality.py` takes them), 3,000 of them asked in cells trained on the
others: of what exact search has among its first ten, the share found, by cosine. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_sets import load
from benchmarks.index_bench.bare import Bare
from benchmarks.index_bench.state import cached_state
from benchmarks.index_bench.vectors import COSINES, Vectors, base_vectors, stream_after
from vector_index.preparation import RECALL_K
from vector_index.segments.arrays import faiss
from vector_index.segments.codebook import POINTS_PER_CELL, TRAINING_ROUNDS
from vector_index.segments.settings import LEAST_CELLS, SegmentSettings

MARGINS = (2.0, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)
ASKED = 3000
BANDS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Lower edges of the bands of cosine; the first one is open above."""
FIRST = 10


class Cells:
    """An inverted file, asked as the service asks its own: a margin leaves cells out."""

    def __init__(self, index: Any, nprobe: int) -> None:
        self._index = index
        index.nprobe = min(nprobe, index.nlist)
        self.quantizer = faiss.downcast_index(index.quantizer)

    def search(self, queries: Vectors, margin: float) -> tuple[NDArray[np.int64], float]:
        """Ids [n, 30] and the mean number of cells searched."""
        products, cells = self.quantizer.search(queries, self._index.nprobe)
        cells[:, LEAST_CELLS:][products[:, LEAST_CELLS:] < products[:, :1] - margin] = -1
        ids: NDArray[np.int64] = self._index.search_preassigned(queries, RECALL_K, cells, products)[1]
        return ids, float((cells >= 0).sum(axis=1).mean())


def planted(n: int, nprobe: int) -> dict[str, Any]:
    """Copies of stored vectors."""
    base = base_vectors(n)
    bare = Bare(base, 1, cached_state(base))
    if bare.exact:
        raise SystemExit(f"{n} vectors are searched exhaustively: give a larger --n")
    cells = Cells(bare.index, nprobe)
    stream = stream_after(base, 2 * ASKED)
    copies, sources = stream.vectors[1::2], stream.source[1::2]
    centres = cells.quantizer.reconstruct_n(0, bare.index.nlist)
    home = cells.quantizer.search(np.ascontiguousarray(base[np.sort(sources)]), 1)[1].ravel()
    home = home[np.argsort(np.argsort(sources))]
    behind = cells.quantizer.search(copies, 1)[0].ravel() - np.einsum("nd,nd->n", copies, centres[home])
    answer: dict[str, Any] = {
        "n": n,
        "furthest_behind": {
            str(cosine): round(float(behind[place :: len(COSINES)].max()), 3) for place, cosine in enumerate(COSINES)
        },
    }
    for margin in MARGINS:
        rows, searched = cells.search(copies, margin)
        found = float((rows - 1 == sources[:, None]).any(axis=1).mean())
        searched = (searched + cells.search(stream.vectors[0::2], margin)[1]) / 2
        answer[str(margin)] = {"cells": round(searched, 1), "found": round(found, 4)}
        print(f"margin {margin}: {searched:.1f} cells searched, {found:.4f} of the copies' originals found", flush=True)
    return answer


def of_texts(folders: list[Path], cache: Path) -> Vectors:
    """The embeddings of all texts of some sets, unit float32 [n, d], shuffled."""
    found = []
    for folder in folders:
        given = load(folder.resolve(), "text", cache)
        if given is None:
            raise SystemExit(f"{folder} holds no texts")
        for one in (*given.references, *given.queries):
            found += [np.frombuffer(f.data, "<f4") for f in one.features.values() if f.schema == "vector"][:1]
    vectors = np.random.default_rng(0).permutation(np.stack(found))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def real(vectors: Vectors, nprobe: int) -> dict[str, Any]:
    """Real neighbours."""
    queries, base = vectors[-ASKED:], vectors[:-ASKED]
    quantizer = faiss.IndexFlatIP(base.shape[1])
    index = faiss.IndexIVFFlat(quantizer, base.shape[1], len(base) // POINTS_PER_CELL, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = TRAINING_ROUNDS
    index.train(base)
    index.add(base)
    exact = faiss.IndexFlatIP(base.shape[1])
    exact.add(base)
    cosines, wanted = exact.search(queries, FIRST)
    cells = Cells(index, nprobe)
    answer: dict[str, Any] = {"n": len(base), "of": index.nlist}
    for margin in MARGINS:
        rows, searched = cells.search(queries, margin)
        hit = (wanted[:, :, None] == rows[:, None, :]).any(axis=2)
        shares = {}
        for lower, upper in zip(BANDS, (np.inf, *BANDS), strict=False):
            band = (cosines >= lower) & (cosines < upper)
            shares[str(lower)] = round(float(hit[band].mean()), 4)
        answer[str(margin)] = {"cells": round(searched, 1), "found": shares}
        told = ", ".join(f"from {lower} {share:.4f}" for lower, share in shares.items())
        print(f"margin {margin}: {searched:.1f} cells searched; found by cosine: {told}", flush=True)
    return answer


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--texts", type=Path, nargs="+", default=[], metavar="BENCH-FOLDER")
    parser.add_argument("--nprobe", type=int, default=SegmentSettings().nprobe)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sosie-bench-features")
    args = parser.parse_args()
    if args.texts:
        print(json.dumps(real(of_texts(args.texts, args.cache), args.nprobe)))
    else:
        print(json.dumps(planted(args.n, args.nprobe)))


if __name__ == "__main__":
    main()
