"""A space whose vectors lie in a recall engine, seen as every other space: what was added is found by the next search.

Rows go over in the background. Until the engine has answered for them they are in `RecentRows`, searched exactly and
merged with the engine's hits. A row is taken out of there only after the answer, and the view of it is taken before the
engine is asked: so no row falls between the two. That rests on the engine reading its own writes.

The engine may be away: reads then raise `Retryable`, and nothing is lost, since whatever it has not answered for is
here, and whatever is here is in the log. A snapshot holds the rows that wait and the collection's name.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import structlog

from materials.errors import Overloaded, Retryable, UsageError
from materials.records import Feature
from vector_index.recall_engines.collection_names import CollectionNames
from vector_index.recall_engines.protocol import Capabilities, CollectionLost, Matrix, RecallEngine, Rows, no_hits
from vector_index.recall_engines.recent_rows import Change, RecentRows
from vector_index.spaces.dense import stack
from vector_index.spaces.frozen_file import FrozenFile

FORMAT = 1
BUFFER = "buffer.npz"
UPLOAD_ROWS = 1000
UPLOAD_BYTES = 8 << 20
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts at an engine that is away."""

logger = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """Rows that may wait before callers are refused; twice as many stop whoever does not ask (a rebuild from the log),
    for at most `stall_seconds` without progress."""

    waiting: int = 20_000
    stall_seconds: float = 60.0


def check_promises(able: Capabilities) -> None:
    """What `BufferedSpace` rests on.

    Raises:
        UsageError: an engine that cannot promise enough.
    """
    lacking = [name for name in ("reads_own_writes", "deletes", "durable") if not getattr(able, name)]
    if lacking:
        raise UsageError(f"a recall engine that lacks {', '.join(lacking)}", "choose another for this space")


class BufferedSpace:
    """Recall over `vector` features (float32 [d], unit norm), kept by an engine.

    Args:
        engine: must read its own writes, delete, and be durable.
        names: where it is remembered which collection is this space's. A space that starts empty starts in a new one,
            so that a half-filled one of an interrupted rebuild is never taken for a whole one.

    Raises:
        UsageError: an engine that cannot promise enough.
    """

    def __init__(
        self,
        engine: RecallEngine,
        names: CollectionNames,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        check_promises(engine.capabilities)
        self._engine = engine
        self._names = names
        self._limits = limits
        self._collection = ""
        self._dim = 0
        self._open = False
        self._recent = RecentRows()
        self._held = 0
        self._trouble = ""
        self._lost = ""
        self._closing = False
        self._changed = threading.Condition()
        self._uploader: threading.Thread | None = None

    # --- the face of a space ---

    def __len__(self) -> int:
        """Rows, as of the last time that nothing waited; nobody is asked for it."""
        with self._changed:
            return self._held + self._recent.stored

    @property
    def waiting(self) -> int:
        """Changes that the engine has not answered for."""
        with self._changed:
            return len(self._recent)

    @property
    def trouble(self) -> str:
        """Why the last attempt to hand rows over failed, "" while all is well."""
        return self._trouble

    def admit(self) -> None:
        """Refuse new work before anything is decided, where too much waits already.

        Raises:
            Overloaded: why, and for how long to wait.
            CollectionLost: only a fresh start, which rebuilds the space, helps.
        """
        with self._changed:
            if self._lost:
                raise CollectionLost(self._lost)
            if len(self._recent) >= self._limits.waiting:
                reason = f" ({self._trouble})" if self._trouble else ""
                raise Overloaded(f"{len(self._recent)} rows wait for the recall engine{reason}", retry_after=1.0)

    def add(self, rows: Sequence[int], features: Sequence[Feature]) -> None:
        """Make the features searchable at once; they go over to the engine in the background.

        Raises:
            ValueError: another dimension than the first vector had.
            Retryable: twice the limit waits, and the engine took nothing for a long time.
        """
        if not rows:
            return
        vectors = stack(features)
        with self._changed:
            if self._dim and vectors.shape[1] != self._dim:
                raise ValueError(f"vectors of {vectors.shape[1]} dimensions in a space of {self._dim}")
            self._dim = self._dim or vectors.shape[1]
            self._room()
            for row, vector in zip(rows, vectors, strict=True):
                self._recent.put(row, vector)
            self._start()

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows; unknown ones are ignored."""
        with self._changed:
            if not self._dim:
                return
            self._room()
            for row in rows:
                self._recent.forget(row)
            self._start()

    def search(self, queries: Sequence[Feature], k: int) -> list[list[tuple[int, float]]]:
        """Up to k (row, cosine) a query, best first, of equals the lowest row.

        Raises:
            Retryable: the engine does not answer.
        """
        if not queries:
            return []
        matrix = stack(queries)
        with self._changed:  # before the engine is asked: see the module
            recent_scores, recent_rows = self._recent.search(matrix, k)
            shadowed = self._recent.rows()
            more = min(self._recent.stale(), self._engine.capabilities.max_k - k)
            asked = self._open
        try:
            scores, rows = self._engine.search(matrix, k + max(0, more)) if asked else no_hits(len(matrix))
        except CollectionLost as error:
            self._lost = str(error)
            raise
        found = []
        for number in range(len(matrix)):
            hits = _pairs(recent_rows[number], recent_scores[number])
            hits += [hit for hit in _pairs(rows[number], scores[number]) if hit[0] not in shadowed]
            hits.sort(key=lambda hit: (-hit[1], hit[0]))
            found.append(hits[:k])
        return found

    # --- snapshots ---

    def frozen(self) -> FrozenFile:
        """What the engine has not answered for now, and where the rest is, for a snapshot."""
        stream = BytesIO()
        self._write(stream)
        return FrozenFile(BUFFER, stream.getvalue())

    def _write(self, file: IO[bytes]) -> None:
        with self._changed:
            changes = self._recent.oldest(len(self._recent))
            kept = [(row, change) for row, change in changes if change.slot is not None]
            gone = [row for row, change in changes if change.slot is None]
            vectors = self._recent.vectors(change for _, change in kept) if kept else np.zeros((0, self._dim))
            state = (self._collection if self._open else "", self._dim, self._held)
        np.savez(
            file,
            format=np.int64(FORMAT),
            collection=np.array(state[0]),
            dim=np.int64(state[1]),
            held=np.int64(state[2]),
            rows=np.array([row for row, _ in kept], np.int64),
            vectors=vectors.astype(np.float32),
            gone=np.array(gone, np.int64),
        )

    def load(self, folder: Path) -> None:
        """Replace the content by a snapshot's. Only for a space that holds nothing yet.

        Raises:
            ValueError: another format, or its collection is gone: rebuild the space from the log.
            Retryable: the engine does not answer.
        """
        path = folder / BUFFER
        with path.open("rb") as file, np.load(file) as data:
            if int(data["format"]) != FORMAT:
                raise ValueError(f"{path.name}: a snapshot of format {int(data['format'])}, not {FORMAT}")
            collection, dim, held = str(data["collection"]), int(data["dim"]), int(data["held"])
            rows, vectors, gone = data["rows"].tolist(), data["vectors"], data["gone"].tolist()
        if collection:
            if not self._engine.exists(collection):
                raise ValueError(f"{path.name}: the recall engine has no collection {collection} any more")
            self._engine.open(collection, dim)
            self._names.use(collection)
        with self._changed:
            self._collection, self._dim, self._held, self._open = collection, dim, held, bool(collection)
            for row in gone:
                self._recent.forget(row)
            for row, vector in zip(rows, vectors, strict=True):
                self._recent.put(row, vector)

    def settle(self, seconds: float) -> bool:
        """Wait until the engine has answered for everything; False when it has not in time."""
        with self._changed:
            self._start()
            return self._changed.wait_for(lambda: not len(self._recent), seconds)

    def close(self) -> None:
        """End the uploader and the engine's connection; what waits is in the log."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._uploader is not None:
            self._uploader.join()
        self._engine.close()

    # --- the uploader ---

    def _start(self) -> None:
        """Let the uploader see what waits. Not before the first use: a loaded space may yet be given up for another,
        and must then not write. The condition is held."""
        if self._uploader is None:
            self._uploader = threading.Thread(target=self._upload, name="recall-uploader", daemon=True)
            self._uploader.start()
        self._changed.notify_all()

    def _room(self) -> None:
        """Wait for room while twice the limit waits. The condition is held."""
        while len(self._recent) >= 2 * self._limits.waiting:
            before = len(self._recent)
            if not self._changed.wait_for(lambda: len(self._recent) < before, self._limits.stall_seconds):  # noqa: B023
                raise Retryable(
                    f"the recall engine took no row for {self._limits.stall_seconds:.0f} s: {self._trouble}"
                )

    def _upload(self) -> None:
        pause = FIRST_PAUSE
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or len(self._recent))
                if self._closing:
                    return
                dim = self._dim
                batch = self._recent.oldest(max(1, min(UPLOAD_ROWS, UPLOAD_BYTES // (4 * max(1, dim)))))
                kept = [(row, change) for row, change in batch if change.slot is not None]
                vectors = self._recent.vectors(change for _, change in kept) if kept else None
            try:
                self._hand_over(batch, kept, vectors, dim)
                pause = FIRST_PAUSE
            except CollectionLost as error:
                self._lost = str(error)
                logger.error("recall engine lost the collection", collection=self._collection, reason=str(error))
                return
            except Exception as error:  # whatever it is: the rows stay here, and the next attempt may succeed
                if not self._trouble:
                    logger.warning("recall engine takes no rows", reason=str(error), waiting=self.waiting)
                self._trouble = str(error) or type(error).__name__
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    def _hand_over(
        self, batch: list[tuple[int, Change]], kept: list[tuple[int, Change]], vectors: Matrix | None, dim: int
    ) -> None:
        if not self._open:
            name = self._collection or self._names.new()
            abandoned = self._names.use(name)
            self._engine.open(name, dim)
            for old in abandoned:
                self._engine.drop(old)
                self._names.dropped(old)
            with self._changed:
                self._collection, self._open = name, True
        if vectors is not None:
            self._engine.upsert(np.array([row for row, _ in kept], np.int64), vectors)
        gone = [row for row, change in batch if change.slot is None]
        if gone:
            self._engine.delete(np.array(gone, np.int64))
        with self._changed:
            self._recent.settle(batch)
            self._held += len(kept)
            drained = not len(self._recent)
            self._changed.notify_all()
        if self._trouble:
            logger.info("recall engine takes rows again", waiting=self.waiting)
            self._trouble = ""
        if drained and gone:
            self._recount()

    def _recount(self) -> None:
        """Deletes of unknown rows and replaced rows make the running count drift."""
        count = self._engine.count()
        with self._changed:
            if not len(self._recent):
                self._held = count


def _pairs(rows: Rows, scores: Matrix) -> list[tuple[int, float]]:
    return [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0]
