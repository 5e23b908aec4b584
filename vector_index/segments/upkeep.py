"""The background of a store: seals on disk, merges, trains. One thread, alive only while there is something to do."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import structlog

from vector_index.crash_points import reached
from vector_index.segments.build import Job, Source, build
from vector_index.segments.codebook import Codebook, load_codebook
from vector_index.segments.files import SegmentError, open_segment, sync, write_segment
from vector_index.segments.plan import Plan, next_plan
from vector_index.segments.segment import Segment
from vector_index.segments.settings import SegmentSettings

if TYPE_CHECKING:
    from vector_index.segments.store import SegmentedStore

RETRY_ROWS = 1000
"""After a failure the background rests until the store has changed by so many rows."""
logger = structlog.get_logger(__name__)
_one_at_a_time = threading.Lock()
"""Over all stores of a process: two trainings at once would starve the searches."""


class Upkeep:
    """Wakes when the store has changed; what it does is decided by `plan.next_plan`."""

    def __init__(self, store: SegmentedStore, settings: SegmentSettings) -> None:
        self._store = store
        self._settings = settings
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._again = False
        self._closing = False
        self._child: subprocess.Popen[bytes] | None = None
        self._failed_at: int | None = None
        self._next_folder = 0
        self._book_lock = threading.Lock()
        self.failures = 0
        self.reason = ""

    # --- the thread ---

    def wake(self) -> None:
        """Look whether something is to be done; returns at once."""
        with self._changed:
            if self._thread is not None:
                self._again = True
            elif not self._closing and not self._resting() and self._due():
                self._thread = threading.Thread(target=self._run, name="index-upkeep", daemon=True)
                self._thread.start()

    def _resting(self) -> bool:
        if self._failed_at is not None and abs(len(self._store) - self._failed_at) < RETRY_ROWS:
            return True
        self._failed_at = None
        return False

    def _due(self) -> bool:
        view = self._store.view
        if view is None:
            return False
        return any(one.folder is None for one in view.segments) or self._plan() is not None

    def _plan(self) -> Plan | None:
        view = self._store.view
        if view is None:
            return None
        return next_plan(view.segments, len(view.active), view.active.codebook, view.active.dim, self._settings)

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(5, self._settings.build_niceness))
        while True:
            with self._changed:
                self._again = False
            worked = False
            try:
                with _one_at_a_time:
                    worked = not self._closing and self._once()
            except Exception as error:
                if not self._closing:
                    self.failures += 1
                    self.reason = str(error)
                    self._failed_at = len(self._store)
                    expected = isinstance(error, OSError | SegmentError)
                    logger.log(30 if expected else 40, "segments stay as they are", reason=self.reason)
                    if not expected:
                        logger.exception("upkeep failed")
            with self._changed:
                if self._closing or not (worked or (self._again and self._failed_at is None)):
                    self._thread = None
                    self._changed.notify_all()
                    return

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing to do."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def close(self) -> None:
        """End at once; an unfinished build leaves nothing behind."""
        with self._changed:
            self._closing = True
            child = self._child
        if child is not None and child.poll() is None:
            child.kill()
        self.settle(timeout=10)

    # --- one thing ---

    def _once(self) -> bool:
        view = self._store.view
        if view is None:
            return False
        waiting = [segment for segment in view.segments if segment.folder is None]
        for segment in waiting:
            reached("seal-begin")
            self.persist(segment)
        plan = self._plan()
        if plan is not None:
            self._carry_out(plan)
        return bool(waiting) or plan is not None

    def persist(self, segment: Segment) -> Path:
        """Write a segment's files if it has none, and map them; its folder."""
        with segment.persisting:
            if segment.folder is None:
                dim = self._store.dim or 0
                self._leave_reserve(len(segment) * dim * 4)
                folder = self._new_folder()
                write_segment(segment, dim, folder)
                segment.adopt(open_segment(folder, segment.codebook))
            if segment.folder is None:
                raise AssertionError("a segment that was written has a folder")
            return segment.folder

    def codebook_file(self, codebook: Codebook) -> Path:
        """The codebook's file, written when missing."""
        path = self._store.home / f"codebook-{codebook.name}.faiss"
        with self._book_lock:
            if not path.exists():
                beside = path.with_suffix(".tmp")
                codebook.save(beside)
                sync(beside)
                beside.rename(path)
        return path

    def _carry_out(self, plan: Plan) -> None:
        store = self._store
        reached("seal-begin" if plan.train else "compaction")
        with store.writing:
            view = store.view
            if view is None:
                return
            newest = view.active.codebook
            if plan.seal_active:
                store.seal_active(newest)
                view = store.view or view
                sources = view.segments
            else:
                sources = tuple(view.segments[number] for number in plan.sources)
        folders = [self.persist(segment) for segment in sources]
        with store.writing:
            captured = [segment.dead.copy() for segment in sources]
        alive = sum(int((~dead).sum()) for dead in captured)
        self._leave_reserve(alive * (store.dim or 0) * 3)
        out = self._new_folder()
        scratch = out.with_name(f".{out.name}.job")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            made = []
            for number, (folder, dead) in enumerate(zip(folders, captured, strict=True)):
                path = scratch / f"dead-{number}.i64" if dead.any() else None
                if path is not None:
                    np.flatnonzero(dead).astype("<i8").tofile(path)
                made.append(Source(str(folder), "" if path is None else str(path)))
            if not plan.train and newest is None:
                raise AssertionError("nothing is merged before cells are trained")
            job = Job(
                sources=tuple(made),
                dim=store.dim or 0,
                codebook=str(scratch / "codebook" if plan.train or newest is None else self.codebook_file(newest)),
                codes=plan.train or (newest.codes if newest else "sq8"),
                trained_at=alive if plan.train or newest is None else newest.trained_at,
                train=plan.train is not None,
                out=str(out),
                max_cells=self._settings.max_cells,
                probe=self._settings.probe,
                threads=self._settings.build_threads,
                niceness=self._settings.build_niceness,
            )
            self._build(job, scratch, sum(map(len, sources)))
            book = newest
            if plan.train:
                book = load_codebook(Path(job.codebook), job.codes, job.trained_at, self._settings.probe)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        segment = open_segment(out, book)
        reached("seal-swap")
        with store.writing:
            store.replace(sources, captured, segment)
            if plan.train:
                store.seal_active(book)
        logger.info("segments built", sources=len(sources), rows=alive, trained=plan.train or "")

    def _build(self, job: Job, scratch: Path, rows: int) -> None:
        if rows <= self._settings.inline_rows:
            build(job)
            return
        path = scratch / "job.json"
        path.write_bytes(msgspec.json.encode(job))
        root = str(Path(__file__).resolve().parents[2])
        threads = str(job.threads)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        command = [sys.executable, "-m", "vector_index.segments.build", str(path)]
        with (scratch / "errors").open("wb") as errors:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors, env=environment)
            with self._changed:
                self._child = child
                if self._closing:
                    child.kill()
            code = child.wait()
            if child.stdin is not None:
                child.stdin.close()
        self._child = None
        if code:
            lines = (scratch / "errors").read_text(errors="replace").strip().splitlines()
            raise OSError(f"a build ended with {code}: {lines[-1] if lines else 'nothing was said'}")

    def _new_folder(self) -> Path:
        with self._book_lock:
            while True:
                folder = self._store.home / f"{self._next_folder:06d}"
                self._next_folder += 1
                if not folder.exists():
                    return folder

    def _leave_reserve(self, needed: int) -> None:
        free = shutil.disk_usage(self._store.home).free
        if free - needed < self._settings.disk_reserve:
            raise OSError(
                errno.ENOSPC,
                f"{free >> 20} MB are free, {needed >> 20} are needed and {self._settings.disk_reserve >> 20} "
                "must stay free",
            )
