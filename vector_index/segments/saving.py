"""A store as files: sealed segments are hard-linked, only what is in memory is written.

store.json              dimensions, codebooks, segments oldest first, form of the tail
segments/NNNNNN/        links to the segment's own files
dead-NNNNNN.i64         places of that segment that were removed
codebook-NAME.faiss     link
tail.i64, tail.vectors  the active segment: coded again when it is loaded
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from vector_index.segments.arrays import Flags, Rows, no_rows
from vector_index.segments.codebook import Codebook, Codes, load_codebook
from vector_index.segments.exact import FULL, HALF
from vector_index.segments.files import DESCRIPTION, FileSum, SegmentError, open_segment, read_description, sync
from vector_index.segments.segment import Segment
from vector_index.segments.settings import SegmentSettings

if TYPE_CHECKING:
    from typing import Self

FORMAT = 1
STORE = "store.json"
SEGMENTS = "segments"
TAIL_ROWS, TAIL_VECTORS = "tail.i64", "tail.vectors"
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)


class SavedCodebook(msgspec.Struct, frozen=True):
    """A codebook's name, kind, and the size of the space when it was trained."""

    name: str
    codes: Codes
    trained_at: int


class SavedSegment(msgspec.Struct, frozen=True):
    """A segment's folder, its codebook ("" for none), how many of its rows are dead."""

    folder: str
    codebook: str
    dead: int


class SavedStore(msgspec.Struct, frozen=True):
    """`store.json`. `newest`: the codebook of the active segment, "" while that is flat."""

    format: int
    dim: int
    newest: str
    codebooks: tuple[SavedCodebook, ...]
    segments: tuple[SavedSegment, ...]
    tail: int


class Loaded(msgspec.Struct, frozen=True):
    """A store, read."""

    dim: int
    codebook: Codebook | None
    segments: tuple[Segment, ...]
    rows: Rows
    vectors: NDArray[Any]


class Owner(Protocol):
    """The store that is saved."""

    def persist(self, segment: Segment) -> Path: ...

    def codebook_file(self, codebook: Codebook) -> Path: ...

    def unpin(self) -> None: ...


class Frozen:
    """What a store held at one moment. To be saved once, or dropped by `close`."""

    def __init__(
        self,
        owner: Owner | None,
        segments: Sequence[Segment],
        dead: Sequence[Rows],
        newest: Codebook | None,
        dim: int,
        tail: tuple[Rows, NDArray[Any]],
    ) -> None:
        self._owner = owner
        self._segments = segments
        self._dead = dead
        self._newest = newest
        self._dim = dim
        self._tail = tail

    @classmethod
    def empty(cls) -> Self:
        """Of a store in which nothing was ever stored."""
        return cls(None, (), (), None, 0, (no_rows(), np.zeros((0, 0), np.float32)))

    def close(self) -> None:
        """Let the store delete again what was merged away."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.unpin()

    def save(self, folder: Path) -> dict[str, FileSum]:
        """Write into an existing, empty folder; synced.

        Returns:
            The sums of the files that were linked, by their path inside `folder`: known since they were made.

        Raises:
            OSError: the disk refuses.
        """
        try:
            return self._save(folder)
        finally:
            self.close()

    def _save(self, folder: Path) -> dict[str, FileSum]:
        known: dict[str, FileSum] = {}
        segments: list[SavedSegment] = []
        books: dict[str, Codebook] = {} if self._newest is None else {self._newest.name: self._newest}
        for number, (segment, dead) in enumerate(zip(self._segments, self._dead, strict=True)):
            if self._owner is None:
                raise OSError("this store was saved before")
            name = f"{number:06d}"
            source = self._owner.persist(segment)
            into = folder / SEGMENTS / name
            into.mkdir(parents=True)
            for file, expected in read_description(source).files.items():
                link(source / file, into / file)
                known[f"{SEGMENTS}/{name}/{file}"] = expected
            link(source / DESCRIPTION, into / DESCRIPTION)
            sync(into)
            if len(dead):
                _write(folder / f"dead-{name}.i64", np.ascontiguousarray(dead, "<i8"))
            if segment.codebook is not None:
                books[segment.codebook.name] = segment.codebook
            segments.append(SavedSegment(name, "" if segment.codebook is None else segment.codebook.name, len(dead)))
        for book in books.values():
            if self._owner is not None:
                link(self._owner.codebook_file(book), folder / f"codebook-{book.name}.faiss")
        rows, vectors = self._tail
        _write(folder / TAIL_ROWS, np.ascontiguousarray(rows, "<i8"))
        _write(folder / TAIL_VECTORS, np.ascontiguousarray(vectors))
        store = SavedStore(
            FORMAT,
            self._dim,
            "" if self._newest is None else self._newest.name,
            tuple(SavedCodebook(book.name, book.codes, book.trained_at) for book in books.values()),
            tuple(segments),
            len(rows),
        )
        (folder / STORE).write_bytes(msgspec.json.encode(store))
        sync(folder / STORE)
        if segments:
            sync(folder / SEGMENTS)
        sync(folder)
        return known


def _write(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        file.write(array.data)
    sync(path)


def link(source: Path, target: Path) -> None:
    """A hard link, a copy where the file system has none.

    Raises:
        OSError: the disk refuses.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)
        sync(target)


def read_saved(folder: Path) -> SavedStore:
    """What a saved store says of itself.

    Raises:
        SegmentError: missing, unreadable, or of another format.
    """
    try:
        saved = msgspec.json.decode((folder / STORE).read_bytes(), type=SavedStore)
    except (OSError, msgspec.DecodeError) as error:
        raise SegmentError(f"{STORE}: {error}") from error
    if saved.format != FORMAT:
        raise SegmentError(f"{STORE} has format {saved.format}, and this version reads {FORMAT}")
    return saved


def read_tail(folder: Path, saved: SavedStore) -> tuple[Rows, NDArray[Any]]:
    """Rows and vectors of the active segment.

    Raises:
        SegmentError: files of the wrong length.
    """
    try:
        rows = np.fromfile(folder / TAIL_ROWS, "<i8")
        vectors = np.fromfile(folder / TAIL_VECTORS, HALF if saved.newest else FULL)
        return rows.reshape(saved.tail), vectors.reshape((saved.tail, saved.dim))
    except (OSError, ValueError) as error:
        raise SegmentError(f"{TAIL_ROWS}, {TAIL_VECTORS}: {error}") from error


def read_dead(folder: Path, entry: SavedSegment, count: int) -> Flags:
    """Which places of a segment are dead, bool [count].

    Raises:
        SegmentError: a file that does not fit.
    """
    dead: Flags = np.zeros(count, np.bool_)
    if entry.dead:
        try:
            places = np.fromfile(folder / f"dead-{entry.folder}.i64", "<i8")
            dead[places] = True
        except (OSError, IndexError) as error:
            raise SegmentError(f"dead-{entry.folder}.i64: {error}") from error
        if int(dead.sum()) != entry.dead:
            raise SegmentError(f"dead-{entry.folder}.i64 names {int(dead.sum())} places and should name {entry.dead}")
    return dead


def read_store(folder: Path, home: Path, settings: SegmentSettings) -> Loaded | None:
    """Read a saved store; its segments' files are linked into `home`, which is emptied first. None for an empty store.

    Raises:
        SegmentError: files that do not fit together.
        OSError: the disk refuses.
    """
    saved = read_saved(folder)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    if not saved.dim:
        return None
    books: dict[str, Codebook] = {}
    for entry in saved.codebooks:
        path = home / f"codebook-{entry.name}.faiss"
        link(folder / path.name, path)
        try:
            book = load_codebook(path, entry.codes, entry.trained_at, settings.probe)
        except RuntimeError as error:
            raise SegmentError(f"{path.name}: {str(error).splitlines()[0]}") from error
        if book.name != entry.name:
            raise SegmentError(f"{path.name} is another codebook")
        books[entry.name] = book
    segments = [_read_segment(folder, home, entry, books) for entry in saved.segments]
    rows, vectors = read_tail(folder, saved)
    return Loaded(saved.dim, books.get(saved.newest), tuple(segments), rows, vectors)


def _read_segment(folder: Path, home: Path, entry: SavedSegment, books: dict[str, Codebook]) -> Segment:
    source, target = folder / SEGMENTS / entry.folder, home / entry.folder
    description = read_description(source)
    target.mkdir()
    for name in (*description.files, DESCRIPTION):
        link(source / name, target / name)
    if entry.codebook and entry.codebook not in books:
        raise SegmentError(f"{STORE}: no codebook {entry.codebook}")
    segment = open_segment(target, books.get(entry.codebook))
    segment.mark(read_dead(folder, entry, len(segment)))
    return segment
