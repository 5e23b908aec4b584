"""A segment's folder: its files, their checksums, written whole or not at all.

segment.json   format, dimensions, rows, codebook, size and SHA-256 of each other file
rows.i64       rows, ascending
codes.faiss    the inverted file (none in a flat segment)
exact          the vectors in the order of the rows: float16, in a flat segment float32
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from vector_index.segments.arrays import faiss
from vector_index.segments.codebook import Codebook
from vector_index.segments.exact import FULL, HALF, OnDisk
from vector_index.segments.segment import Segment

FORMAT = 1
DESCRIPTION = "segment.json"
ROWS = "rows.i64"
CODES = "codes.faiss"
EXACT = "exact"
CHUNK = 1 << 20


class SegmentError(Exception):
    """A segment's files cannot be used; why."""


class FileSum(msgspec.Struct, frozen=True):
    """Size and SHA-256 of a file."""

    size: int
    sha256: str


class Description(msgspec.Struct, frozen=True):
    """What `segment.json` says. `codebook`: "" for a flat segment."""

    format: int
    dim: int
    count: int
    codebook: str
    files: dict[str, FileSum]


def checksum(path: Path) -> FileSum:
    """Of the file as it is now.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileSum(size, digest.hexdigest())


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_segment(segment: Segment, dim: int, folder: Path) -> None:
    """Write a segment's files into `folder`, which appears whole or not at all.

    Raises:
        OSError: the disk refuses; nothing is left behind.
    """

    def fill(beside: Path) -> None:
        with (beside / ROWS).open("wb") as file:
            file.write(np.ascontiguousarray(segment.rows, "<i8").data)
        vectors = segment.vectors()
        with (beside / EXACT).open("wb") as file:
            file.write(np.ascontiguousarray(vectors).data)
        if segment.codebook is not None:
            write_index(segment.index, beside / CODES)

    describe(folder, dim, len(segment.rows), segment.codebook, fill)


def write_index(index: object, path: Path) -> None:
    """FAISS's own format; its complaint about a refusing disk is an OSError here."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise OSError(f"{path}: {str(error).splitlines()[0]}") from error


def describe(folder: Path, dim: int, count: int, codebook: Codebook | None, fill: Callable[[Path], None]) -> None:
    """Make a folder whole: `fill` writes the files beside its place, they are summed, synced and renamed.

    Raises:
        OSError: the disk refuses; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        fill(beside)
        files = {path.name: checksum(path) for path in sorted(beside.iterdir())}
        description = Description(FORMAT, dim, count, "" if codebook is None else codebook.name, files)
        (beside / DESCRIPTION).write_bytes(msgspec.json.encode(description))
        for path in beside.iterdir():
            sync(path)
        sync(beside)
        beside.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def read_description(folder: Path) -> Description:
    """What the folder says of itself.

    Raises:
        SegmentError: missing, unreadable, or of another format.
    """
    try:
        description = msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=Description)
    except (OSError, msgspec.DecodeError) as error:
        raise SegmentError(f"{folder.name}/{DESCRIPTION}: {error}") from error
    if description.format != FORMAT:
        raise SegmentError(f"{folder.name} has format {description.format}, and this version reads {FORMAT}")
    return description


def check_sizes(folder: Path, description: Description) -> None:
    """Raises SegmentError: a file is missing or has another length."""
    for name, expected in description.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise SegmentError(f"{folder.name}/{name}: {error.strerror}") from error
        if size != expected.size:
            raise SegmentError(f"{folder.name}/{name} has {size} bytes and should have {expected.size}")


def check_sums(folder: Path, description: Description) -> None:
    """Raises SegmentError: a file is not what was written."""
    check_sizes(folder, description)
    for name, expected in description.files.items():
        try:
            found = checksum(folder / name)
        except OSError as error:
            raise SegmentError(f"{folder.name}/{name}: {error.strerror}") from error
        if found != expected:
            raise SegmentError(f"{folder.name}/{name} does not match its checksum")


def open_segment(folder: Path, codebook: Codebook | None) -> Segment:
    """Map a segment. Sizes are checked, sums are not: `check_sums` does that.

    Raises:
        SegmentError: files that do not fit together.
    """
    description = read_description(folder)
    check_sizes(folder, description)
    if description.codebook != ("" if codebook is None else codebook.name):
        raise SegmentError(f"{folder.name} is coded by {description.codebook or 'nothing'}")
    count, dim = description.count, description.dim
    rows = np.memmap(folder / ROWS, "<i8", "r") if count else np.zeros(0, np.int64)
    exact = OnDisk(folder / EXACT, dim, FULL if codebook is None else HALF)
    if len(rows) != count:
        raise SegmentError(f"{folder.name} has {len(rows)} rows and should have {count}")
    try:
        if codebook is None:
            index = faiss.IndexFlatIP(dim)
            index.add(np.ascontiguousarray(exact.all(), np.float32))
        else:
            index = faiss.read_index(str(folder / CODES), faiss.IO_FLAG_MMAP_IFC)
            index.nprobe = codebook.nprobe
    except RuntimeError as error:
        raise SegmentError(f"{folder.name}/{CODES}: {str(error).splitlines()[0]}") from error
    if index.ntotal != count:
        raise SegmentError(f"{folder.name} has {index.ntotal} codes and should have {count}")
    return Segment(codebook, index, np.asarray(rows, np.int64), exact, folder=folder)
