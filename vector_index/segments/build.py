"""One segment out of several: what was removed is dropped, codes are copied where the cells stay, made anew elsewhere.

A function of folders, so that it runs in a thread or in a process of its own:
`python -m vector_index.segments.build JOB.json` ends with 0 and the new segment in its place. It ends at once when its
standard input does: with the service that started it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vector_index.segments.arrays import Matrix, Rows, faiss
from vector_index.segments.codebook import POINTS_PER_CELL, Codebook, Codes, cells_for, load_codebook, train
from vector_index.segments.exact import FULL, HALF
from vector_index.segments.files import CODES, EXACT, ROWS, describe, read_description, write_index
from vector_index.segments.settings import Probe

CHUNK = 32_768
EVERYTHING = (0, 2**62)
SEED = 7


class Source(msgspec.Struct, frozen=True):
    """A sealed segment's folder, and a file of its removed places (int64; "" for none)."""

    folder: str
    dead: str


class Job(msgspec.Struct, frozen=True):
    """What to make.

    Args:
        codebook: file of the codebook; written by a job that trains, read by any other.
        codes, trained_at: of the codebook.
        train: make new cells.
        out: the new segment's folder.
    """

    sources: tuple[Source, ...]
    dim: int
    codebook: str
    codes: Codes
    trained_at: int
    train: bool
    out: str
    max_cells: int
    probe: Probe
    threads: int
    niceness: int


class _Part:
    """A source, opened: its live places, their rows, their vectors."""

    def __init__(self, source: Source, dim: int) -> None:
        folder = Path(source.folder)
        self.description = read_description(folder)
        rows: Rows = np.fromfile(folder / ROWS, "<i8")
        dead = np.fromfile(source.dead, "<i8") if source.dead else np.zeros(0, np.int64)
        alive = np.ones(len(rows), np.bool_)
        alive[dead] = False
        self.places: Rows = np.flatnonzero(alive)
        self.rows: Rows = rows[self.places]
        self.dead_rows: Rows = rows[dead]
        dtype = HALF if self.description.codebook else FULL
        self.exact: NDArray[Any] = (
            np.memmap(folder / EXACT, dtype, "r").reshape((-1, dim)) if len(rows) else np.zeros((0, dim), dtype)
        )
        self._codes = folder / CODES

    def copy_codes(self, target: Any, codebook: Codebook) -> None:
        """Append the codes of what is alive."""
        codes = faiss.read_index(str(self._codes), faiss.IO_FLAG_MMAP_IFC)
        if len(self.dead_rows):  # dropped on the way: a row may be alive in another source
            kept = codebook.empty()
            codes.copy_subset_to(kept, 0, *EVERYTHING)
            kept.remove_ids(faiss.IDSelectorBatch(self.dead_rows))
            codes = kept
        codes.copy_subset_to(target, 0, *EVERYTHING)


def _chunks(parts: Sequence[_Part]) -> Iterator[tuple[Rows, NDArray[np.float16]]]:
    """(rows, vectors) of everything that lives, rows ascending."""
    rows = np.concatenate([np.zeros(0, np.int64), *(part.rows for part in parts)])
    owner = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    places = np.concatenate([np.zeros(0, np.int64), *(part.places for part in parts)])
    order = np.argsort(rows, kind="stable")
    dim = parts[0].exact.shape[1]
    for start in range(0, len(rows), CHUNK):
        chosen = order[start : start + CHUNK]
        vectors = np.empty((len(chosen), dim), HALF)
        for number, part in enumerate(parts):
            here = owner[chosen] == number
            if here.any():
                vectors[here] = part.exact[places[chosen[here]]]
        yield rows[chosen], vectors


def _sample(parts: Sequence[_Part], count: int) -> Matrix:
    """At most `count` live vectors, evenly drawn; the same for the same parts."""
    total = sum(len(part.rows) for part in parts)
    draw = np.random.default_rng(SEED)
    drawn = []
    for part in parts:
        share = min(len(part.rows), max(1, round(count * len(part.rows) / max(1, total)))) if len(part.rows) else 0
        places = part.places[np.sort(draw.choice(len(part.places), share, replace=False))] if share else part.places[:0]
        drawn.append(np.asarray(part.exact[places], np.float32))
    return np.ascontiguousarray(np.concatenate(drawn))


def build(job: Job) -> None:
    """Make the segment, and its codebook where that is new.

    Raises:
        OSError: the disk refuses; no segment appears.
        SegmentError: a source cannot be read.
    """
    faiss.omp_set_num_threads(job.threads)
    parts = [_Part(source, job.dim) for source in job.sources]
    count = sum(len(part.rows) for part in parts)
    if job.train:
        sample = _sample(parts, POINTS_PER_CELL * cells_for(job.trained_at, job.max_cells))
        codebook = train(sample, job.trained_at, job.codes, job.max_cells, job.probe)
        del sample
        codebook.save(Path(job.codebook))
    else:
        codebook = load_codebook(Path(job.codebook), job.codes, job.trained_at, job.probe)
    merged = codebook.empty()
    fresh = set()
    for number, part in enumerate(parts):
        if part.description.codebook == codebook.name:
            part.copy_codes(merged, codebook)
        else:
            fresh.add(number)

    def fill(beside: Path) -> None:
        anew = np.concatenate([np.zeros(0, np.int64), *(parts[number].rows for number in sorted(fresh))])
        anew.sort()
        with (beside / ROWS).open("wb") as rows_file, (beside / EXACT).open("wb") as exact_file:
            for rows, vectors in _chunks(parts):
                rows_file.write(np.ascontiguousarray(rows, "<i8").data)
                exact_file.write(vectors.data)
                if len(anew):
                    coded = np.isin(rows, anew, assume_unique=True)
                    if coded.any():
                        merged.add_with_ids(vectors[coded].astype(np.float32), rows[coded])
        write_index(merged, beside / CODES)

    describe(Path(job.out), job.dim, count, codebook, fill)


def _die_with_parent() -> None:
    def wait() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock would be missed at the end of the interpreter
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Entry point of the process."""
    _die_with_parent()
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    os.nice(job.niceness)
    try:
        build(job)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
