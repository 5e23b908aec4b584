"""The async operator, one per kind: everything between a parsed line and its published outcome."""

from __future__ import annotations

import random
import time
from typing import Any, Literal

from pyflink.datastream import AsyncFunction

from model_plugins.discovery import EndpointDirectory
from model_plugins.protocol import Manifest
from model_plugins.registry import load
from model_plugins.runtime import PluginRuntime
from pipeline.assigner import BatchingAssigner
from pipeline.envelope import Finished, pack, unpack_envelope
from pipeline.flink.logs import to_worker_log
from pipeline.flink.plan import JobPlan
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool
from pipeline.projection import Projection
from pipeline.understanding import Understanding

Branch = Literal["image", "video", "post"]
_MEDIA_OF: dict[Branch, tuple[str, ...]] = {
    "image": ("image",),
    "video": ("video",),
    "post": ("image", "video", "text"),
}


class Understand(AsyncFunction):
    """Packed envelope -> packed `Finished`.

    Connections belong to the operator's own event loop, so they are made with the first record and not in `open`.
    """

    def __init__(self, plan: JobPlan, branch: Branch) -> None:
        self._plan = plan
        self._branch = branch
        self._understanding: Understanding | None = None
        self._media: MediaPool | None = None
        self._directory: EndpointDirectory | None = None

    def open(self, runtime_context: Any) -> None:  # noqa: ARG002
        """Called by Flink in the worker."""
        to_worker_log()

    async def async_invoke(self, value: bytes) -> list[bytes]:
        """One record; never raises for a record's sake (what escapes here would fail the job)."""
        if self._understanding is None:
            self._understanding = self._connect()
        envelope = unpack_envelope(value)
        outcome = await self._understanding.understand(envelope)
        return [pack(Finished(outcome=outcome, line=envelope.line))]

    def timeout(self, value: bytes) -> list[bytes]:
        """Never called: Flink's own timer starts a thread per record, deadlines are asyncio's here."""
        raise AssertionError(f"Flink's timeout is off, yet it fired for {value!r}")

    def close(self) -> None:
        """Ends the decode children and the ZooKeeper session."""
        if self._media is not None:
            self._media.close()
        if self._directory is not None:
            self._directory.close()

    def _connect(self) -> Understanding:
        spec, addresses = self._plan.spec, self._plan.addresses
        wanted = _MEDIA_OF[self._branch]
        plugins = {n: p for n, p in load(spec.plugins).items() if _manifest(p).media in wanted}
        pixels = [name for name, plugin in plugins.items() if _manifest(plugin).media != "text"]
        limits = MediaLimits(**spec.limits.model_dump())
        access = MediaAccess(roots=spec.media.roots, hosts=spec.media.hosts)
        self._media = MediaPool(pixels, access, limits, size=spec.threads.decoders)
        self._directory = EndpointDirectory(addresses.zookeeper)
        return Understanding(
            policy=spec.policy,
            text_plugins={n: p for n, p in plugins.items() if _manifest(p).media == "text"},
            media=self._media,
            runtime=PluginRuntime(plugins, self._directory, in_flight=spec.threads.in_flight),
            index=BatchingAssigner(addresses.index),
            projection=Projection(addresses.redis, spec.policy, self._plan.run_id, spec.feature_ttl_s),
            retry=spec.retry,
            now=time.time,
            jitter=random.random,
        )


def _manifest(plugin: Any) -> Manifest:
    found: Manifest = plugin.manifest
    return found
