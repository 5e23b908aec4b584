"""The decode children of one worker, as one awaitable call."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from materials.errors import Rejected, Retryable
from model_plugins.runtime.wants import NOTHING, Wants
from pipeline.media.child_process import ChildLost, DecodeChild
from pipeline.media.fetch import Lookup, fetch, system_lookup
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.medium import Prepared
from pipeline.media.shown import shown
from pipeline.media.urls import AddressTest, address_test
from pipeline.media.wire import Request, Setup

__all__ = ["MediaPool", "Prepared"]

MAX_URI = 8192
"""Characters; RFC 9110 asks servers to take 8000."""

_FETCHES = 8
_log = logging.getLogger(__name__)


class MediaPool:
    """Prepares media in `size` long-lived children, one medium at a time in each.

    A medium on which a child dies or exceeds the time limit gets one more attempt, alone in a fresh child, while the
    others go on in a replacement; when that fails too, it is rejected. URLs are fetched here, in threads, so that a
    slow host does not hold a child.

    Belongs to one event loop; `close` may be called from any thread once the loop no longer runs calls.

    Args:
        plugins: names, as `model_plugins.registry.load` takes them.
        access: where media may come from, beside each record's own folder.
        limits: what a medium may cost.
        size: children; each takes about 150 MB.
        store: folder of a `MediaStore`, for what was decoded; None keeps nothing.
        is_allowed_address: which addresses may be fetched from; None for public ones and `access.networks`.
        lookup: the resolver of host names.
    """

    def __init__(
        self,
        plugins: Sequence[str],
        access: MediaAccess,
        limits: MediaLimits,
        size: int = 1,
        *,
        store: Path | None = None,
        is_allowed_address: AddressTest | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        if size < 1:
            raise ValueError(f"a pool has at least one child, not {size}")
        roots = tuple(str(root.absolute()) for root in access.roots)
        kept = "" if store is None else str(store.absolute())
        self._setup = Setup(tuple(plugins), roots, access.hosts, limits, kept)
        self._folder = Path(tempfile.mkdtemp(prefix="sosie-media-"))
        self._fetch = partial(
            fetch,
            access=access,
            limits=limits,
            folder=self._folder,
            is_allowed_address=is_allowed_address or address_test(access.networks),
            lookup=lookup,
        )
        self._spawner = ThreadPoolExecutor(1, "media-spawner")
        self._fetchers = ThreadPoolExecutor(_FETCHES, "media-fetch")
        self._closed = False
        self._busy: set[DecodeChild] = set()
        self._idle = deque(self._start() for _ in range(size))
        self._slots = asyncio.Semaphore(size)
        self._quarantine = asyncio.Lock()

    @property
    def pids(self) -> list[int]:
        """Of the children that were started, also of those that are not ready yet."""
        return [child.pid for child in (*self._idle, *self._busy) if child.pid is not None]

    async def prepare(self, uri: str, base: Path, kind: Literal["image", "video"], wants: Wants = NOTHING) -> Prepared:
        """Fetch, read, decode and prepare one medium.

        Args:
            uri: as it stands in the record.
            base: folder of the input file.
            kind: of medium.
            wants: what is to come back beside the tensors of the children's plug-ins.

        Raises:
            Rejected: the medium is bad or may not be read, with the reason.
            Retryable: a host or a child is not available just now.
            UsageError: a plug-in cannot be loaded.
        """
        if len(uri) > MAX_URI:
            raise Rejected("bad_path", f"{shown(uri)} is longer than {MAX_URI} characters; give a shorter name")
        if not uri.isascii() and any("\ud800" <= character <= "\udfff" for character in uri):
            raise Rejected("bad_path", f"{shown(uri)} is not valid Unicode; write the name in UTF-8")
        folder = _absolute(base)
        if not uri[:8].lower().startswith(("http:", "https:")):
            return await self._prepare(Request(uri, folder, kind, wants=wants))
        began = time.time_ns()
        fetched = await asyncio.get_running_loop().run_in_executor(self._fetchers, self._fetch, uri)
        stage = ("fetch", began, time.time_ns())
        try:
            prepared = await self._prepare(Request(uri, folder, kind, str(fetched), wants))
            prepared.stages = (stage, *prepared.stages)
            return prepared
        finally:
            fetched.unlink(missing_ok=True)

    def close(self) -> None:
        """End the children and remove what was fetched; calls that wait get Retryable."""
        if self._closed:
            return
        for child in (*self._idle, *self._busy):
            child.kill()
        self._closed = True
        while self._idle:
            self._idle.popleft().release()
        self._spawner.shutdown()
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _prepare(self, request: Request) -> Prepared:
        async with self._slots:
            child = self._next_child()
            try:
                return await self._run(child, request)
            except ChildLost:
                pass  # perhaps not this medium's fault: the child may have been killed from outside
            finally:
                self._idle.append(child) if child.is_usable else self._replace(child)
        async with self._quarantine:
            child = self._start()
            try:
                return await self._run(child, request)
            except ChildLost as lost:
                raise Rejected(lost.code, f"{shown(request.uri)} {lost.how}, twice; re-encode it") from lost
            finally:
                self._discard(child)

    async def _run(self, child: DecodeChild, request: Request) -> Prepared:
        self._busy.add(child)
        try:
            await child.ready()
            return await child.prepare(request)
        finally:
            self._busy.discard(child)

    def _next_child(self) -> DecodeChild:
        self._check_open()
        return self._idle.popleft() if self._idle else self._start()

    def _start(self) -> DecodeChild:
        self._check_open()
        return DecodeChild(self._setup, self._spawner)

    def _replace(self, child: DecodeChild) -> None:
        self._discard(child)
        if self._closed:
            return
        try:
            self._idle.append(self._start())
        except OSError as error:  # out of descriptors, say: the next call tries again
            _log.warning("no replacement for a decode child: %s", error)

    def _discard(self, child: DecodeChild) -> None:
        if not self._closed:
            child.kill()
        child.release()

    def _check_open(self) -> None:
        if self._closed:
            raise Retryable("the media pool is closed")


@lru_cache(maxsize=256)
def _absolute(base: Path) -> str:
    return str(base.absolute())
