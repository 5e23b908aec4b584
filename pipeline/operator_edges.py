"""Everything that one operator holds: children, connections, plug-ins. Made in its loop, ended from any thread."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Literal

from deploy.addresses import Addresses
from materials.records import Features, Outcome
from model_plugins import registry
from model_plugins.balancing import by_name
from model_plugins.client.model_client import ModelClient
from model_plugins.metrics.worker import WorkerMetrics
from model_plugins.protocol import Manifest, MediaKind
from model_plugins.runtime import PluginRuntime
from model_plugins.runtime.route import Route
from model_plugins.targets import is_built_in, target_of
from pipeline.assigner import BatchingAssigner
from pipeline.envelope import Envelope
from pipeline.feature_cache import FeatureCache
from pipeline.feature_tap import FeatureTap
from pipeline.found_so_far import FoundSoFar
from pipeline.hand_over import HandOver, rules_of
from pipeline.kafka.settings import KafkaSink
from pipeline.lineup import Lineup
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool
from pipeline.projection import Projection
from pipeline.spec import JobSpec
from pipeline.tracing.calls import ModelCallTracer, TracingObserver
from pipeline.tracing.operator import OperatorTracing
from pipeline.tracing.steps import TracedAssigner, TracedCache, TracedMedia, TracedPublisher
from pipeline.understanding import Understanding
from pipeline.worker_watches import WorkerWatches
from reconcile.retry.admission import Admission
from reconcile.retry.entry import Entry

ZONE = "SOSIE_ZONE"
"""Environment: where this worker is, for the strategy `zone-aware`."""
Branch = Literal["image", "video", "post"]
_MEDIA_OF: dict[Branch, tuple[MediaKind, ...]] = {
    "image": ("image",),
    "video": ("video",),
    "post": ("image", "video", "text"),
}


class OperatorEdges:
    """Made inside the operator's event loop; then `connect`, before `understanding` is used.

    Args:
        spec: the job's.
        addresses: of the system's parts.
        state: the system's folder.
        run_id: names the run.
        branch: the kind of material.
    """

    def __init__(self, spec: JobSpec, addresses: Addresses, state: Path, run_id: str, branch: Branch) -> None:
        kinds = _MEDIA_OF[branch]
        ours = [name for name in spec.plugin_names if is_built_in(target_of(name)) or not target_of(name)]
        pixels = [name for name, manifest in _manifests(ours).items() if manifest.media in kinds and _decoded(manifest)]
        limits = MediaLimits(**spec.limits.model_dump())
        access = MediaAccess(spec.media.roots, spec.media.hosts, spec.media.networks)
        store = state / "media" if spec.media.keep else None
        self._media = MediaPool(pixels, access, limits, size=spec.threads.decoders, store=store)
        self._metrics = metrics = WorkerMetrics(addresses.zookeeper, spec.name, branch)
        self._observer = TracingObserver(metrics.observer)
        self._tracing = OperatorTracing(spec.tracing, state, run_id, branch)
        self._watches = watches = WorkerWatches(addresses.zookeeper, state, spec.registered)
        self._runtime = runtime = PluginRuntime(
            {},
            watches.endpoints,
            in_flight=spec.threads.in_flight,
            client_for=self._client,
            version_of=watches.model_version,
            observer=self._observer,
            tracer=ModelCallTracer(),
        )
        projection = Projection(addresses.redis, spec.policy, run_id, spec.feature_ttl_s)
        self._tap: FeatureTap | None = None
        if isinstance(spec.sink, KafkaSink) and spec.sink.features:
            projection = self._tap = FeatureTap(addresses.redis, spec.policy, run_id, spec.feature_ttl_s)
        self._lineup = Lineup(runtime, spec, kinds, on_change=metrics.know)
        self.understanding = Understanding(
            policy=spec.policy,
            evidence=self._lineup.is_fixed,
            media=TracedMedia(self._media),
            runtime=runtime,
            cache=TracedCache(FeatureCache(addresses.redis, runtime.keys, on_result=self._count_cached)),
            index=TracedAssigner(BatchingAssigner(addresses.index)),
            projection=TracedPublisher(projection),
            retry=spec.retry,
            now=time.time,
            jitter=random.random,
            deadline_s=spec.checkpoints.record_deadline_s,
            in_hand=spec.threads.in_hand,
            attempts=self._tracing,
            queue=HandOver(
                rules=rules_of(spec),
                leave=Admission(addresses.redis, spec.retry.queue.max_entries),
                job=spec.name,
                policy=spec.policy,
                run_id=run_id,
                now=time.time,
                jitter=random.random,
            ),
            so_far=FoundSoFar(addresses.redis),
        )

    async def connect(self) -> None:
        """Load the plug-ins, and follow the registry from then on.

        Raises:
            UsageError: one of the spec cannot be loaded.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._watches.wait_first_answer)
        await self._lineup.start()
        if self._watches.plugins is not None:
            await self._lineup.follow(self._watches.plugins)

    def features_of(self, envelope: Envelope) -> dict[str, Features]:
        """What was just published of a material, for a sink that wants it; by material id, its own and its parts'."""
        return self._tap.take(envelope.material_id) if self._tap is not None else {}

    async def understand(self, envelope: Envelope) -> Outcome | Entry:
        """`Understanding.understand`, traced."""
        return await self._tracing.follow(envelope, self.understanding.understand)

    def _client(self, route: Route) -> ModelClient:
        balancer = by_name(route.balancer, zone=os.environ.get(ZONE, ""))
        return ModelClient(
            self._watches.endpoints,
            balancer,
            observer=self._observer,
            hedging=route.hedging,
            wire=route.wire,
        )

    def _count_cached(self, hits: set[str], misses: set[str]) -> None:
        for key in hits:
            self._metrics.observer.plugin_cached(key, hit=True)
        for key in misses:
            self._metrics.observer.plugin_cached(key, hit=False)

    def close(self) -> None:
        """End the children and the ZooKeeper sessions."""
        self._lineup.close()
        self._runtime.close_plugins()
        self._media.close()
        self._watches.close()
        self._metrics.close()
        self._tracing.close()


def _manifests(names: list[str]) -> dict[str, Manifest]:
    return {name: plugin.manifest for name, plugin in registry.load(names).items()}


def _decoded(manifest: Manifest) -> bool:
    return manifest.media != "text"
