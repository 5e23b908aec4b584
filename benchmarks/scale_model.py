"""What a large index needs: measured here at several sizes, fitted, and extended to 10M, 100M and 1B vectors.

    .venv/bin/python -m benchmarks.scale_model --markdown out/scale.md

For each size, number of cells and code (8-bit scalars; RaBitQ with its 128 best compared exactly) an inverted file is
built over the vectors of the index benchmark, and one thread searches it in batches of 32 at several `nprobe`. Fitted:

- CPU seconds of a query = a + b * cells + c * scanned vectors (least squares of the relative error, none negative);
- the share that is missed of what exact search finds = scale * nprobe^-p * cells^q * vectors^r.

Bytes of memory and of disk a vector follow from the codes, ids and half-precision vectors. Vectors and cells are kept
under the index benchmark's cache. CPU time is measured, not wall time: other programs may run. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import time
from pathlib import Path
from typing import Any

import faiss as _faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.index_bench.vectors import DIM, base_vectors, cache_folder, exact_ranks, plant
from benchmarks.scale_fit import Costs, NprobeLaw, Point, fit_costs, fit_nprobe, plan
from vector_index.segments.codebook import code_bytes
from vector_index.segments.hits import RABITQ_LEAST

faiss: Any = _faiss
K = 30
BATCH = 32
FIRST = 5
REPORTED = 10
TARGET = 0.999
NPROBES = (8, 16, 32, 64, 128, 256)
CODES = ("sq8", "rabitq")
SIZES = "50000:512/1024,100000:1024/2048,200000:2048/4096,400000:2048/4096,1000000:4096"
TRAINING_POINTS, TRAINING_ROUNDS = 32, 4
ROUNDS = 2
Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


class Judged(msgspec.Struct, frozen=True):
    """Planted near-duplicates whose source is among exact search's first five."""

    queries: Vectors
    sources: Rows


def judged(base: Vectors, count: int) -> Judged:
    """Queries and their sources; exact search's answer is kept in the cache."""
    queries, sources = plant(base, count, seed=11)
    path = cache_folder() / f"scale-ranks-{len(base)}-{count}.npy"
    if not path.exists():
        np.save(path, exact_ranks(base, queries, sources))
    kept = np.load(path) < FIRST
    return Judged(np.ascontiguousarray(queries[kept]), sources[kept])


def centroids(base: Vectors, cells: int) -> Vectors:
    """k-means over a sample of the smallest base that asked; all bases are drawn alike. Kept in the cache."""
    path = cache_folder() / f"scale-cells-{cells}.npy"
    if not path.exists():
        clustering = faiss.Clustering(DIM, cells)
        clustering.niter, clustering.spherical = TRAINING_ROUNDS, True
        clustering.max_points_per_centroid, clustering.min_points_per_centroid = TRAINING_POINTS, 1
        rng = np.random.default_rng(3)
        rows = rng.choice(len(base), min(len(base), cells * TRAINING_POINTS), replace=False)
        clustering.train(np.ascontiguousarray(base[np.sort(rows)]), faiss.IndexFlatIP(DIM))
        np.save(path, faiss.vector_to_array(clustering.centroids).reshape(cells, DIM))
    found: Vectors = np.load(path)
    return found


def nearest_cells(base: Vectors, cells: Vectors) -> Rows:
    """The cell of every vector; the dearest step of a build, shared by both codes and kept in the cache."""
    path = cache_folder() / f"scale-places-{len(base)}-{len(cells)}.npy"
    if not path.exists():
        quantizer = faiss.IndexFlatIP(DIM)
        quantizer.add(cells)
        chunks = [np.ascontiguousarray(base[start : start + 8192]) for start in range(0, len(base), 8192)]
        np.save(path, np.concatenate([quantizer.search(chunk, 1)[1].ravel() for chunk in chunks]))
    found: Rows = np.load(path)
    return found


def built(base: Vectors, cells: Vectors, places: Rows, codes: str) -> Any:
    """The inverted file over all vectors."""
    quantizer = faiss.IndexFlatIP(DIM)
    quantizer.add(cells)
    if codes == "sq8":
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, DIM, len(cells), faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        )
    else:
        index = faiss.IndexIVFRaBitQ(quantizer, DIM, len(cells), faiss.METRIC_INNER_PRODUCT)
    index.own_fields = True
    quantizer.this.disown()
    index.train(np.ascontiguousarray(base[:65_536]))
    for start in range(0, len(base), 8192):
        part = np.ascontiguousarray(base[start : start + 8192])
        rows = np.arange(start, start + len(part), dtype=np.int64)
        place = np.ascontiguousarray(places[start : start + len(part)])
        pointers = (faiss.swig_ptr(part), faiss.swig_ptr(rows), faiss.swig_ptr(place))
        index.add_core(len(part), *pointers)
    return index


def reranked(base: Vectors, queries: Vectors, rows: Rows) -> Rows:
    """The exact order of what the codes put first: rows [n, K]."""
    exact = np.einsum("nd,nkd->nk", queries, base[np.maximum(rows, 0)])
    exact[rows < 0] = -np.inf
    best = np.argsort(-exact, axis=1)[:, :K]
    return np.take_along_axis(rows, best, axis=1)


def point(index: Any, base: Vectors, truth: Judged, codes: str, nprobe: int) -> Point:
    """One measurement: CPU seconds a query, the share found, vectors scanned."""
    found, spent = 0, []
    params = faiss.SearchParametersIVF(nprobe=nprobe)
    depth = K if codes == "sq8" else RABITQ_LEAST
    for round_ in range(ROUNDS):
        began = time.process_time()
        for start in range(0, len(truth.queries), BATCH):
            queries = truth.queries[start : start + BATCH]
            rows = index.search(queries, depth, params=params)[1]
            if codes == "rabitq":
                rows = reranked(base, queries, rows)
            if not round_:
                sources = truth.sources[start : start + BATCH, None]
                found += int((rows[:, :REPORTED] == sources).any(axis=1).sum())
        spent.append((time.process_time() - began) / len(truth.queries))
    sizes = np.array([index.invlists.list_size(cell) for cell in range(index.nlist)])
    probed = index.quantizer.search(truth.queries[:500], nprobe)[1]
    scanned = float(sizes[probed].sum(axis=1).mean())
    return Point(
        codes, len(base), index.nlist, nprobe, scanned, min(spent), found / len(truth.queries), len(truth.queries)
    )


def measure(n: int, cells: int, queries: int) -> list[Point]:
    """Both codes at one size."""
    base = np.ascontiguousarray(base_vectors(n))
    truth = judged(base, queries)
    coarse = centroids(base, cells)
    places = nearest_cells(base, coarse)
    points = []
    for codes in CODES:
        index = built(base, coarse, places, codes)
        for nprobe in NPROBES:
            if nprobe <= cells:
                points.append(point(index, base, truth, codes, nprobe))
                print(msgspec.json.encode(points[-1]).decode(), flush=True)
    return points


def law_words(law: NprobeLaw) -> str:
    """The formula with its numbers."""
    return f"{law.scale:.3g} · nprobe^{-law.probes:.2f} · cells^{law.cells_power:.2f} · vectors^{law.vectors_power:.2f}"


def markdown(costs: dict[str, Costs], laws: dict[str, NprobeLaw], sizes: dict[str, float], points: list[Point]) -> str:
    """The measured points, the formula, the table."""
    lines = ["| vectors | cells | codes | nprobe | scanned | CPU µs a query | found |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {one.n:,} | {one.cells:,} | {one.codes} | {one.nprobe} | {one.scanned:,.0f} | {one.seconds * 1e6:,.0f}"
        f" | {one.found:.4f} |"
        for one in points
    ]
    lines += [
        "",
        "| codes | a, µs | b, ns a cell | c, ns a scanned vector | worst error | missed | worst factor | skew |",
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {codes} | {cost.fixed * 1e6:.1f} | {cost.cell * 1e9:.2f} | {cost.vector * 1e9:.2f}"
        f" | {cost.worst_error:.0%} | {law_words(laws[codes])} | {laws[codes].worst_error:.2f}"
        f" | {laws[codes].skew:.2f} |"
        for codes, cost in costs.items()
    ]
    lines += ["", "| vectors | codes | machines of 64 GB | vectors on each | cells | nprobe | memory a vector, bytes |"]
    lines[-1] += " memory in all | disk in all | queries/s and core of one | cores for 1,000 queries/s |"
    lines += ["|---" * 11 + "|"]
    for total in (10_000_000, 100_000_000, 1_000_000_000):
        for codes in CODES:
            one = plan(total, sizes[codes], DIM, costs[codes], laws[codes], TARGET)
            lines.append(
                f"| {total:,} | {codes} | {one.shards} | {one.per_shard:,} | {one.cells:,} | {one.nprobe} |"
                f" {one.memory_per_vector:.0f} | {one.memory_bytes / 1e9:,.1f} GB | {one.disk_bytes / 1e9:,.0f} GB |"
                f" {one.queries_per_core:,.0f} | {one.cores_for_1000:.1f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SIZES, metavar="N:CELLS/CELLS,…", help="default: %(default)s")
    parser.add_argument("--queries", type=int, default=1500, help="planted near-duplicates")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    parser.add_argument("--points", type=Path, metavar="FILE", help="fit the points of an earlier run's output again")
    args = parser.parse_args()
    points: list[Point] = []
    sizes = {"sq8": float(code_bytes("sq8", DIM)), "rabitq": float(code_bytes("rabitq", DIM))}
    if args.points is not None:
        lines = [line for line in args.points.read_text().splitlines() if line.startswith('{"codes"')]
        points = [msgspec.json.decode(line, type=Point) for line in lines]
    for size in args.sizes.split(",") if not points else []:
        n, _, cells = size.partition(":")
        for count in cells.split("/"):
            points += measure(int(n), int(count), args.queries)
    costs = {codes: fit_costs([one for one in points if one.codes == codes]) for codes in CODES}
    laws = {codes: fit_nprobe([one for one in points if one.codes == codes]) for codes in CODES}
    tables = markdown(costs, laws, sizes, points)
    print(tables)
    if args.markdown is not None:
        args.markdown.write_text(tables)
    print(json.dumps(msgspec.to_builtins({"costs": costs, "nprobe": laws, "bytes": sizes, "points": points})))


if __name__ == "__main__":
    main()
