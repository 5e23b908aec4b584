"""The loop that the service is held against: FAISS search and add of the same batches, and nothing else.

No network, no log, no content IDs, no evidence. The index is the service's own, in one piece: the cells and the codes
of the prepared state's segments (exact search up to the size at which the service goes over to cells). Both ways to use
the cores are tried, and the faster one counts: one caller whose batches FAISS spreads over its threads, and as many
callers as cores with a thread each (`add` excludes `search`, which FAISS asks for).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np

from benchmarks.index_bench.vectors import DIM, Vectors
from vector_index.segments.settings import SegmentSettings

faiss: Any = _faiss
FLAT_LIMIT = SegmentSettings().flat_limit
FIRST_ROW = 1
"""The log's row of the first stored vector."""


class Bare:
    """An index in memory, which begins with the vectors of `base`. `state`: the folder that `cached_state` gave."""

    def __init__(self, base: Vectors, cores: int, state: Path) -> None:
        self.cores = cores
        self.index = _load(base, cores, state)
        self._next = FIRST_ROW + len(base)

    @property
    def exact(self) -> bool:
        """Flat: nothing to probe."""
        return not isinstance(self.index, faiss.IndexIVF)

    def search(self, queries: Vectors, k: int, nprobe: int) -> Any:
        """Places in `base` and what was added after it [n, k]."""
        if self.exact:
            rows = self.index.search(queries, k)[1]
        else:
            rows = self.index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=nprobe))[1]
        return rows - FIRST_ROW

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


def _load(base: Vectors, cores: int, state: Path) -> Any:
    faiss.omp_set_num_threads(cores)
    if len(base) <= FLAT_LIMIT:
        flat = faiss.IndexIDMap2(faiss.IndexFlatIP(DIM))
        flat.add_with_ids(np.ascontiguousarray(base), np.arange(FIRST_ROW, FIRST_ROW + len(base), dtype=np.int64))
        return flat
    space = max((state / "snapshots").iterdir()) / "000"
    store = json.loads((space / "store.json").read_text())
    index = faiss.read_index(str(space / f"codebook-{store['newest']}.faiss"))
    for segment in store["segments"]:
        if segment["codebook"] != store["newest"]:
            raise SystemExit(f"{state} is not settled: delete it, so that it is built again")
        codes = faiss.read_index(str(space / "segments" / segment["folder"] / "codes.faiss"))
        codes.copy_subset_to(index, 0, 0, 2**62)
    if index.ntotal != len(base):
        raise SystemExit(f"{state} holds {index.ntotal} vectors and should hold {len(base)}: delete it")
    return index
