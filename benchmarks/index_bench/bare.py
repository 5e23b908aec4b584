"""The loop that the service is held against: FAISS search and add of the same batches, and nothing else.

No network, no log, no content IDs, no evidence. The index has the type and the cells that the service's space has at
this size. Both ways to use the cores are tried, and the faster one counts: one caller whose batches FAISS spreads over
its threads, and as many callers as cores with a thread each (`add` excludes `search`, which FAISS asks for).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np

from benchmarks.index_bench.vectors import DIM, Vectors, cache_folder
from vector_index.segments.codebook import POINTS_PER_CELL, TRAINING_ROUNDS
from vector_index.segments.settings import SegmentSettings

faiss: Any = _faiss
VERSION = 1
FLAT_LIMIT, MAX_CELLS = SegmentSettings().flat_limit, SegmentSettings().max_cells


class Bare:
    """An index in memory. `n`: vectors of `base` that it begins with."""

    def __init__(self, base: Vectors, cores: int) -> None:
        self.cores = cores
        self.index = _load(base, cores)
        self._next = len(base)

    @property
    def exact(self) -> bool:
        """Flat: nothing to probe."""
        return not isinstance(self.index, faiss.IndexIVF)

    def search(self, queries: Vectors, k: int, nprobe: int) -> Any:
        """Rows [n, k]."""
        if self.exact:
            return self.index.search(queries, k)[1]
        return self.index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=nprobe))[1]

    def loop(self, batches: Sequence[Vectors], k: int, nprobe: int) -> float:
        """Items a second, one caller, FAISS's own threads."""
        faiss.omp_set_num_threads(self.cores)
        started = time.perf_counter()
        for batch in batches:
            self.search(batch, k, nprobe)
            self._add(batch)
        return sum(map(len, batches)) / (time.perf_counter() - started)

    def callers(self, batches: Sequence[Vectors], k: int, nprobe: int) -> float:
        """Items a second, a caller for each core, one thread each."""
        faiss.omp_set_num_threads(1)
        gate = _Gate()
        waiting = iter(batches)
        take = threading.Lock()

        def call() -> None:
            faiss.omp_set_num_threads(1)  # OpenMP keeps the number by thread
            while True:
                with take:
                    batch = next(waiting, None)
                if batch is None:
                    return
                gate.begin()
                self.search(batch, k, nprobe)
                gate.end()
                with gate.alone():
                    self._add(batch)

        pool = [threading.Thread(target=call) for _ in range(self.cores)]
        started = time.perf_counter()
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        return sum(map(len, batches)) / (time.perf_counter() - started)

    def _add(self, batch: Vectors) -> None:
        self.index.add_with_ids(batch, np.arange(self._next, self._next + len(batch), dtype=np.int64))
        self._next += len(batch)


class _Gate:
    """Readers share, one writer is alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reading = 0

    def begin(self) -> None:
        with self._changed:
            self._reading += 1

    def end(self) -> None:
        with self._changed:
            self._reading -= 1
            self._changed.notify_all()

    def alone(self) -> Any:
        return _Alone(self._changed, lambda: self._reading == 0)


class _Alone:
    def __init__(self, condition: threading.Condition, free: Any) -> None:
        self._condition, self._free = condition, free

    def __enter__(self) -> None:
        self._condition.acquire()
        self._condition.wait_for(self._free)

    def __exit__(self, *_: object) -> None:
        self._condition.release()


def _load(base: Vectors, cores: int) -> Any:
    faiss.omp_set_num_threads(cores)
    if len(base) <= FLAT_LIMIT:
        flat = faiss.IndexIDMap2(faiss.IndexFlatIP(DIM))
        flat.add_with_ids(np.ascontiguousarray(base), np.arange(len(base), dtype=np.int64))
        return flat
    path = cache_folder() / f"bare-{len(base)}-v{VERSION}.faiss"
    if not path.exists():
        unfinished = Path(f"{path}.tmp")
        faiss.write_index(_built(base), str(unfinished))
        unfinished.rename(path)
    return faiss.read_index(str(path))


def _built(base: Vectors) -> Any:
    cells = max(1, min(MAX_CELLS, len(base) // POINTS_PER_CELL))
    quantizer = faiss.IndexFlatIP(DIM)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, DIM, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    index.own_fields = True
    quantizer.this.disown()
    index.cp.niter, index.cp.max_points_per_centroid = TRAINING_ROUNDS, POINTS_PER_CELL
    index.train(np.ascontiguousarray(base[:: max(1, len(base) // (cells * POINTS_PER_CELL))]))
    for start in range(0, len(base), 50_000):
        chunk = np.ascontiguousarray(base[start : start + 50_000])
        index.add_with_ids(chunk, np.arange(start, start + len(chunk), dtype=np.int64))
    return index
