"""From an uploaded medium or a text to its features, as the jobs compute them: the same limits, decode child, plug-ins
and model versions. Started with the first search, so that a gateway that only looks up costs little."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from materials.errors import Overloaded
from materials.records import Features
from model_plugins import registry
from model_plugins.protocol import Manifest, Plugin, TextMedia
from model_plugins.runtime import PluginRuntime
from pipeline.gateway.settings import GatewaySettings
from pipeline.media.limits import MediaAccess
from pipeline.media.pool import MediaPool
from pipeline.spec import Registered
from pipeline.worker_watches import WorkerWatches
from vector_index.spaces.factory import EVIDENCE

Medium = Literal["image", "video"]


class _Running(msgspec.Struct, frozen=True):
    watches: WorkerWatches
    runtime: PluginRuntime
    pool: MediaPool


class Extraction:
    """Belongs to one event loop.

    Args:
        settings: addresses, limits, and how many media are worked on at a time.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.searches)
        self._entered = 0
        self._starting = asyncio.Lock()
        self._running: _Running | None = None
        self.uploads = Path(tempfile.mkdtemp(prefix="sosie-gateway-"))
        """A private folder for bodies while they are worked on."""

    async def of_file(self, path: Path, kind: Medium) -> Features:
        """Features of an uploaded file.

        Raises:
            Rejected: the medium is bad, with the reason.
            Overloaded: too many searches wait.
            Retryable: no model server or decode child is available just now.
        """
        async with self._turn() as running:
            prepared = await running.pool.prepare(path.name, path.parent, kind)
            found = await running.runtime.run(kind, prepared.tensors, failures=prepared.failures)
            return found.features

    async def of_text(self, text: str) -> Features:
        """Features of a text.

        Raises:
            Overloaded: too many searches wait.
            Retryable: a plug-in's model does not answer.
        """
        async with self._turn() as running:
            return (await running.runtime.run("text", {}, media=TextMedia(text))).features

    @asynccontextmanager
    async def turn_for_upload(self) -> AsyncIterator[None]:
        """Room to take a body in; asked before it is read."""
        if self._entered >= 2 * self._settings.searches:
            raise Overloaded(f"{self._entered} searches are in work, and no more may wait", 1.0)
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[_Running]:
        running = await self._start()
        async with self._slots:
            yield running

    async def _start(self) -> _Running:
        async with self._starting:
            if self._running is None:
                self._running = await self._started()
            return self._running

    async def _started(self) -> _Running:
        settings = self._settings
        known, plugins, watches = await asyncio.to_thread(_loaded, settings)
        pixels = [manifest.name for manifest in known if manifest.media != "text"]
        runtime = PluginRuntime(plugins, watches.endpoints, version_of=watches.model_version)
        access = MediaAccess()  # beside the folder that a file lies in
        return _Running(watches, runtime, MediaPool(pixels, access, settings.limits, size=settings.searches))

    async def close(self) -> None:
        """End the decode children, the sessions and the private folder."""
        if self._running is not None:
            await self._running.runtime.close()
            self._running.pool.close()
            await asyncio.to_thread(self._running.watches.close)
        await asyncio.to_thread(shutil.rmtree, self.uploads, True)


def _loaded(settings: GatewaySettings) -> tuple[list[Manifest], dict[str, Plugin], WorkerWatches]:
    """The plug-ins whose features decide on content IDs, and what is known of their models. Takes seconds."""
    known = [manifest for manifest in registry.available() if manifest.schema in EVIDENCE]
    plugins = registry.load([manifest.name for manifest in known])
    watches = WorkerWatches(settings.addresses.zookeeper, settings.state, Registered(take="none"))
    watches.wait_first_answer()
    return known, plugins, watches
