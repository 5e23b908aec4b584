"""`python -m benchmarks.trace_cost`: CPU that tracing costs, per material.

The steps of an image with three plug-ins, one of which calls a model, go through the traced edges and through the same
edges untraced; what stands behind them does nothing, so the difference is tracing alone: recording, sampling, encoding
and writing, its thread included. Times are CPU times of the process, so that a busy machine changes little. The last
line is JSON: microseconds of CPU a material, when all are kept and when none is, and bytes a kept trace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from materials.records import AssignItem, Assignment, Features, Material, Outcome
from model_plugins.metrics.recorder import Recorder
from model_plugins.observing import Attempt
from model_plugins.protocol import MediaKind, ModelRef
from model_plugins.runtime.findings import Findings
from model_plugins.runtime.wants import NOTHING, Wants
from pipeline.envelope import Envelope
from pipeline.media.medium import Prepared
from pipeline.spec import Tracing
from pipeline.tracing.calls import Counts, ModelCallTracer, TracingObserver
from pipeline.tracing.operator import OperatorTracing
from pipeline.tracing.steps import TracedAssigner, TracedCache, TracedMedia, TracedPublisher
from vector_index.call_timing import CallTiming

PLUGINS = ("image-embedding", "image-pdq", "image-local")
MODEL = ModelRef(name="image-embedding", inputs={"image": ("UINT8", (224, 224, 3))}, outputs=("embedding",))


class Nothing:
    """Every edge, doing nothing but what tracing needs to see."""

    async def prepare(self, uri: str, base: Path, kind: Literal["image", "video"], wants: Wants = NOTHING) -> Prepared:
        """The stages that the decode child tells."""
        del uri, base, kind, wants
        now = time.time_ns()
        stages = [("decode.read", now, now), ("decode.pixels", now, now)]
        stages += [(f"prepare {plugin}", now, now) for plugin in PLUGINS]
        return Prepared(bytes(32), {}, 640, 480, 0.0, stages=(*stages, ("decode.keep", now, now)))

    async def find(
        self, kind: MediaKind, sha256: bytes, compute: Callable[[Features], Awaitable[Findings]]
    ) -> Findings:
        """Nothing is known."""
        del kind, sha256
        return await compute({})

    async def assign_one(self, item: AssignItem, timing: CallTiming | None = None) -> Assignment:
        """Answered as the service does."""
        if timing is not None:
            timing.asked = time.time_ns()
            timing.leave(32)
            timing.arrive((("server-timing", "wait;dur=0.500, decide;dur=4.000"),))
        return Assignment(material_id=item.material_id, kind=item.kind, outcome="unique", content_id="feed-x")

    async def publish(
        self, outcome: Outcome, features: dict[str, Features], stamps: Mapping[str, bytes] | None = None
    ) -> None:
        """Taken."""


async def way(
    edges: Any, observer: Counts | TracingObserver, tracer: ModelCallTracer | None, envelope: Envelope
) -> Outcome:
    """The calls that `Understanding` makes for an image, and those that the runtime makes for its plug-ins."""
    prepared = await edges.media.prepare("a.jpg", Path("/in"), "image")

    async def compute(_: Features) -> Findings:
        for plugin in PLUGINS:
            if plugin == MODEL.name:
                token = tracer.asked(plugin, MODEL) if tracer else None
                attempt = Attempt(MODEL.name, "1", "127.0.0.1:8001", 8)
                observer.attempt_started(attempt)
                if tracer:
                    with tracer.batch(8, [token]):
                        observer.attempt_ended(attempt, 0.0, None, "1")
                    tracer.answered(token)
                else:
                    observer.attempt_ended(attempt, 0.0, None, "1")
            observer.plugin_ran(f"{plugin}@1", 0.0, "ok")
        return Findings({})

    await edges.cache.find("image", prepared.sha256, compute)
    item = AssignItem(material_id=envelope.material_id, kind="image", policy="feed", fingerprint=bytes(16))
    assignment = await edges.index.assign_one(item)
    outcome = Outcome(
        material_id=envelope.material_id, revision=0, kind="image", outcome="unique", content_id=assignment.content_id
    )
    await edges.projection.publish(outcome, {})
    return outcome


class Edges:
    """The four, traced or not."""

    def __init__(self, traced: bool) -> None:
        nothing = Nothing()
        self.media = TracedMedia(nothing) if traced else nothing
        self.cache = TracedCache(nothing) if traced else nothing
        self.index = TracedAssigner(nothing) if traced else nothing
        self.projection = TracedPublisher(nothing) if traced else nothing


def envelope(number: int) -> Envelope:
    """Of one image."""
    now = time.time_ns()
    material = Material(material_id=f"P{number}", kind="image", media=("a.jpg",))
    return Envelope(
        material_id=f"P{number}",
        kind="image",
        base="/in",
        line=b"{}",
        entered_at=now / 1e9,
        trace_id=f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}",
        material=material,
        source="image.jsonl",
        parsed=(now, now),
    )


async def measured(count: int, keep: float | None, folder: Path) -> float:
    """Microseconds of CPU a material; `keep` None: untraced."""
    envelopes = [envelope(number) for number in range(count)]
    observer = Recorder()
    edges = Edges(keep is not None)
    began = time.process_time()
    if keep is None:
        for each in envelopes:
            await way(edges, observer, None, each)
    else:
        tracing = OperatorTracing(Tracing(keep=keep), folder, "bench", "image")
        traced, tracer = TracingObserver(observer), ModelCallTracer()
        for each in envelopes:
            await tracing.follow(each, lambda one: way(edges, traced, tracer, one))
        tracing.close()
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    """Each way several times; the least counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--materials", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    best: dict[float | None, float] = {}
    size = 0
    for _ in range(options.rounds):
        for keep in (None, 0.0, 1.0):
            with tempfile.TemporaryDirectory() as folder:
                spent = asyncio.run(measured(options.materials, keep, Path(folder)))
                stored = sum(path.stat().st_size for path in Path(folder).rglob("*.jsonl"))
            best[keep] = min(spent, best.get(keep, spent))
            size = max(size, stored)
    figures = {
        "untraced_us": round(best[None], 2),
        "kept_us": round(best[1.0] - best[None], 2),
        "not_kept_us": round(best[0.0] - best[None], 2),
        "bytes_per_trace": round(size / options.materials),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
