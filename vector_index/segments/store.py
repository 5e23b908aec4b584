"""int64 row -> unit vector under inner product: exact while small, coded and sealed beyond; nothing but speed shows it.

    writes -> active segment (memory) -> sealed in memory -> sealed on disk, mapped -> merged with its like
                                                                                   -> coded by new cells as it grows

Readers look at an immutable view and are held up by nothing but an `add` into the active segment. Sealing on disk,
merging and training happen in the background; what they made replaces its sources in one assignment.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from vector_index.segments import hits
from vector_index.segments.active import Active
from vector_index.segments.arrays import Flags, Matrix, Rows, no_rows
from vector_index.segments.codebook import Codebook, code_bytes
from vector_index.segments.saving import Frozen, read_store
from vector_index.segments.segment import Segment, all_live_rows
from vector_index.segments.settings import SegmentSettings
from vector_index.segments.upkeep import Upkeep

logger = structlog.get_logger(__name__)


class View(msgspec.Struct, frozen=True):
    """What a search looks at."""

    segments: tuple[Segment, ...]
    active: Active


class StoreStats(msgspec.Struct, frozen=True):
    """What a store holds. `codes`: of the newest segment; `code_bytes`: memory of all codes; `dead`: rows removed
    from sealed segments and not yet swept."""

    rows: int
    dim: int
    codes: str
    cells: int
    segments: int
    active_rows: int
    dead: int
    code_bytes: int


class SegmentedStore:
    """Vectors by row. One writer at a time; any number of readers.

    Args:
        home: folder of its segments' files, made new: what lies there is deleted. None: a temporary folder.
    """

    def __init__(self, home: Path | None = None, settings: SegmentSettings | None = None) -> None:
        self._settings = settings or SegmentSettings()
        self._home = home
        self._write = threading.RLock()
        self._view: View | None = None
        self._pins = 0
        self._retired: list[Path] = []
        self._upkeep = Upkeep(self, self._settings)

    # --- what there is ---

    def __len__(self) -> int:
        view = self._view
        return 0 if view is None else len(view.active) + sum(segment.live for segment in view.segments)

    @property
    def dim(self) -> int | None:
        """Dimensions, None while nothing was ever stored."""
        return None if self._view is None else self._view.active.dim

    @property
    def exact(self) -> bool:
        """True while search is exhaustive."""
        view = self._view
        if view is None:
            return True
        return view.active.codebook is None and all(segment.codebook is None for segment in view.segments)

    @property
    def view(self) -> View | None:
        """What a search would look at now, None while nothing was ever stored."""
        return self._view

    @property
    def home(self) -> Path:
        """The folder of its files; made when first asked for."""
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="sosie-segments-"))
            weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        self._home.mkdir(parents=True, exist_ok=True)
        return self._home

    def rows(self) -> Rows:
        """All stored rows, in no order."""
        view = self._view
        if view is None:
            return no_rows()
        with self._write:
            view = self._view or view
            return np.concatenate([all_live_rows(view.segments), view.active.rows()])

    def stats(self) -> StoreStats:
        """Counts now."""
        view = self._view
        if view is None:
            return StoreStats(0, 0, "flat", 0, 0, 0, 0, 0)
        book, dim = view.active.codebook, view.active.dim
        held = [(one.codebook, len(one)) for one in view.segments] + [(book, len(view.active))]
        size = sum(n * (8 + 4 * dim if one is None else code_bytes(one.codes, dim)) for one, n in held)
        return StoreStats(
            rows=len(self),
            dim=dim,
            codes="flat" if book is None else book.codes,
            cells=0 if book is None else book.cells,
            segments=len(view.segments),
            active_rows=len(view.active),
            dead=sum(one.dead_count for one in view.segments),
            code_bytes=size,
        )

    # --- writes ---

    def add(self, rows: Rows, vectors: Matrix) -> None:
        """Store vectors [n, d] under distinct rows; a row that is here already is replaced.

        Raises:
            ValueError: another dimension than the first vector had.
        """
        if not len(rows):
            return
        with self._write:
            if self._view is None:
                self._view = View((), Active(vectors.shape[1], None))
            else:
                self._check(vectors)
                self._remove(rows)
            active = self._view.active
            active.add(rows, vectors)
            if active.codebook is not None and len(active) >= self._settings.seal_rows:
                self.seal_active(active.codebook)
        self._upkeep.wake()

    def _check(self, vectors: Matrix) -> None:
        if vectors.shape[1] != self.dim:
            raise ValueError(f"vectors of {vectors.shape[1]} dimensions in a space of {self.dim}")

    def remove(self, rows: Rows) -> None:
        """Forget rows; unknown ones are ignored."""
        if len(rows):
            with self._write:
                self._remove(rows)
            self._upkeep.wake()

    def _remove(self, rows: Rows) -> None:
        view = self._view
        if view is None:
            return
        if view.active.remove(rows) < len(rows):
            for segment in view.segments:
                segment.kill(rows)

    # --- reads ---

    def search(self, queries: Matrix, k: int, precise: int = 0) -> tuple[Matrix, Rows]:
        """Exact scores and rows [n, k'], best first; -1 where there is no more. k' <= k. Approximate recall once
        the store is coded. `precise`: see `hits.search`."""
        view = self._view
        if view is None or not len(queries) or k < 1:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        return hits.search(view.segments, view.active, np.ascontiguousarray(queries, np.float32), k, precise)

    # --- for the background ---

    def seal_active(self, codebook: Codebook | None) -> None:
        """Close the active segment, in memory, and open one with this codebook. For who holds `writing`."""
        view = self._view
        if view is None:
            return
        segments = view.segments
        if len(view.active):
            segments = (*segments, view.active.sealed())
        self._view = View(segments, Active(view.active.dim, codebook))

    @property
    def writing(self) -> threading.RLock:
        """Held by who changes something."""
        return self._write

    def replace(self, old: tuple[Segment, ...], captured: list[Flags], new: Segment) -> None:
        """Put `new` where the last of `old` was. `captured`: what was dead of each when `new` was made."""
        with self._write:
            view = self._view
            if view is None:
                return
            for segment, dead in zip(old, captured, strict=True):
                new.kill(segment.rows[segment.dead & ~dead])
            kept: list[Segment] = []
            for segment in view.segments:
                if segment is old[-1] and new.live:
                    kept.append(new)
                elif segment not in old:
                    kept.append(segment)
            self._view = View(tuple(kept), view.active)
            self.retire([one.folder for one in old if one.folder is not None])
            if not new.live and new.folder is not None:
                self.retire([new.folder])

    def retire(self, folders: list[Path]) -> None:
        """Delete folders of segments, as soon as no snapshot is being made of them."""
        with self._write:
            self._retired.extend(folders)
            if not self._pins:
                for folder in self._retired:
                    shutil.rmtree(folder, ignore_errors=True)
                self._retired.clear()

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until the background has nothing to do; False after `timeout` seconds."""
        return self._upkeep.settle(timeout)

    # --- snapshots ---

    def frozen(self) -> Frozen:
        """What there is now, to be saved later while writes go on. Short; `Frozen.save` is not."""
        with self._write:
            view = self._view
            if view is None:
                return Frozen.empty()
            if view.active.codebook is not None and len(view.active) >= self._settings.least_sealed:
                self.seal_active(view.active.codebook)
                view = self._view or view
            self._pins += 1
            tail = view.active.content()
            dead = [np.flatnonzero(one.dead) for one in view.segments]
            return Frozen(self, view.segments, dead, view.active.codebook, view.active.dim, tail)

    def unpin(self) -> None:
        """A `Frozen` is done with."""
        with self._write:
            self._pins -= 1
            self.retire([])

    def persist(self, segment: Segment) -> Path:
        """Write a segment's files if it has none; its folder.

        Raises:
            OSError: the disk refuses.
        """
        return self._upkeep.persist(segment)

    def codebook_file(self, codebook: Codebook) -> Path:
        """The codebook's file, written when missing."""
        return self._upkeep.codebook_file(codebook)

    def load(self, folder: Path) -> None:
        """Replace the content by a saved one.

        Raises:
            SegmentError: files that do not fit together.
            OSError: they cannot be read or linked.
        """
        loaded = read_store(folder, self.home, self._settings)
        with self._write:
            if loaded is None:
                self._view = None
                return
            active = Active(loaded.dim, loaded.codebook)
            if len(loaded.rows):
                active.add(loaded.rows, np.asarray(loaded.vectors, np.float32))
            self._view = View(loaded.segments, active)

    def close(self) -> None:
        """End the background. Reads stay possible."""
        self._upkeep.close()

    def upkeep_failures(self) -> dict[str, Any]:
        """Background jobs that failed since the start, and the last reason."""
        return {"failures": self._upkeep.failures, "reason": self._upkeep.reason}
