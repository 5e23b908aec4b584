"""The loop that the job is held against: the same decode, ONNX Runtime and FAISS calls, and nothing else.

No streams, no services, no log, no content IDs, no retries: what the machine gives to code that does only the work.
Run as threads (one session, decode and model release the GIL) and as processes; the better one counts.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_plugins.builtin.image_embedding import ImageEmbedding
from pipeline.media.image import decode_image
from pipeline.media.limits import MediaLimits

_K = 30


class Bare:
    """One worker's model and plug-in."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.plugin = ImageEmbedding()
        self.limits = MediaLimits()

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """The very functions that the job's decode child calls: the bytes in, uint8 [1, 224, 224, 3] out."""
        media = decode_image(path.read_bytes(), path.name, self.limits, self.plugin.manifest.min_side)
        tensors = self.plugin.prepare(media)
        assert tensors is not None
        return np.asarray(tensors["image"], dtype=np.uint8)

    def embed(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [n, 256]."""
        return np.asarray(self.session.run(["embedding"], {"image": batch})[0], dtype=np.float32)


def _index(stored: int) -> Any:
    """A flat index as the service holds one at this size; vectors that are already stored are random."""
    index = faiss.IndexFlatIP(256)
    if stored:
        vectors = np.random.default_rng(1).standard_normal((stored, 256)).astype(np.float32)
        faiss.normalize_L2(vectors)
        index.add(vectors)
    return index


def _work(bare: Bare, paths: Sequence[Path], batch: int, index: Any, lock: Any, stamps: list[float]) -> None:
    for start in range(0, len(paths), batch):
        vectors = bare.embed(np.concatenate([bare.decode(path) for path in paths[start : start + batch]]))
        with lock:
            index.search(vectors, _K)
            index.add(vectors)
        stamps.extend([time.monotonic()] * len(vectors))


def _process(model: Path, paths: Sequence[Path], batch: int, stored: int, ready: Any, answers: Any) -> None:
    faiss.omp_set_num_threads(1)
    bare, index, stamps = Bare(model), _index(stored), list[float]()
    bare.embed(np.zeros((batch, 224, 224, 3), np.uint8))
    ready.wait()
    _work(bare, paths, batch, index, threading.Lock(), stamps)
    answers.put(stamps)


def run_processes(model: Path, paths: Sequence[Path], batch: int, stored: int, workers: int) -> list[float]:
    """Completion times of all pictures, monotonic seconds; one index per process."""
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(workers), context.Queue()
    pool = [
        context.Process(target=_process, args=(model, paths[i::workers], batch, stored, ready, answers))
        for i in range(workers)
    ]
    for process in pool:
        process.start()
    stamps = [stamp for _ in pool for stamp in answers.get()]
    for process in pool:
        process.join()
    return sorted(stamps)


def run_threads(model: Path, paths: Sequence[Path], batch: int, stored: int, workers: int) -> list[float]:
    """Completion times of all pictures, monotonic seconds; one index under a lock."""
    faiss.omp_set_num_threads(1)
    bare, index, lock, stamps = Bare(model), _index(stored), threading.Lock(), list[float]()
    bare.embed(np.zeros((batch, 224, 224, 3), np.uint8))
    pool = [
        threading.Thread(target=_work, args=(bare, paths[i::workers], batch, index, lock, stamps))
        for i in range(workers)
    ]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return sorted(stamps)
