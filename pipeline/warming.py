"""Fills the space of a new model version from the media that were kept, so that content IDs survive the change.

Vectors of two versions are never compared. A version that took the alias with an empty space would find nothing, and
every repost would get a new content ID. So before the alias moves every stored material gets its vector of the new
version too, and once more after it, for what came in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import redis
import structlog
from redis.exceptions import RedisError

from deploy.addresses import Addresses
from materials.errors import Permanent, Rejected, Retryable
from materials.records import Feature
from model_plugins import registry
from model_plugins.discovery.directory import EndpointDirectory
from model_plugins.protocol import Manifest, Plugin
from model_plugins.runtime import PluginRuntime
from model_plugins.runtime.runtime import feature_key
from pipeline.media.limits import MediaAccess, MediaLimits
from pipeline.media.pool import MediaPool
from pipeline.media.store import MediaStore
from pipeline.projection import FEATURES, MEDIA
from vector_index.client import IndexClient
from vector_index.enrichment import Enrichment, Lacking

log = structlog.get_logger(__name__)

_PAGE = 256
_UNDER_WAY = 32
_FEATURE = msgspec.msgpack.Decoder(Feature)


class Warmed(msgspec.Struct, frozen=True):
    """One space. `filled`: materials that got their vector; `forgotten`: whose medium is not kept (any more), or
    cannot be read: reposts of them are found by their other evidence alone."""

    space: str
    filled: int
    forgotten: int


def spaces_of(model: str) -> list[Manifest]:
    """The plug-ins of the distribution whose embeddings the model makes."""
    return [m for m in registry.available() if m.space and m.model is not None and m.model.name == model]


def warm(
    where: Addresses,
    state: Path,
    model: str,
    version: str,
    current: str,
    on_progress: Callable[[str, int], None] = lambda _space, _done: None,
) -> list[Warmed]:
    """Fill the spaces of `model` in `version` from what there is in `current`.

    Args:
        state: the system's folder; media are kept in `STATE/media`.
        current: the version that is in use, "" for the first.
        on_progress: told the space and the materials looked at so far.

    Raises:
        Retryable: a part of the system does not answer; what was filled stays, and the next run goes on from there.
    """
    done = []
    for manifest in spaces_of(model):
        has, lacks = feature_key(manifest, current), feature_key(manifest, version)
        if has != lacks:
            done.append(asyncio.run(_Warming(where, state, manifest, version).fill(has, lacks, on_progress)))
    return done


class _Warming:
    """One plug-in's space. Made and used inside one event loop."""

    def __init__(self, where: Addresses, state: Path, manifest: Manifest, version: str) -> None:
        self._where = where
        self._manifest = manifest
        self._version = version
        self._store = MediaStore(state / "media")
        self._roots = MediaAccess(roots=(state / "media",), hosts=())

    async def fill(self, has: str, lacks: str, on_progress: Callable[[str, int], None]) -> Warmed:
        """See `warm`."""
        name = self._manifest.name
        plugins: dict[str, Plugin] = registry.load([name])
        directory = EndpointDirectory(self._where.zookeeper)
        runtime = PluginRuntime(plugins, directory, version_of=lambda _model: self._version)
        pool = MediaPool([name], self._roots, MediaLimits())
        index = IndexClient(self._where.index)
        filled = forgotten = seen = 0
        try:
            for page in _pages(index, has, lacks):
                stamps = self._stamps(page)
                found: list[Enrichment] = []
                for start in range(0, len(page), _UNDER_WAY):
                    some = page[start : start + _UNDER_WAY]
                    features = await asyncio.gather(
                        *[self._feature(pool, runtime, stamps.get(one.material_id)) for one in some]
                    )
                    found += [
                        Enrichment(one.material_id, one.revision, {lacks: feature})
                        for one, feature in zip(some, features, strict=True)
                        if feature is not None
                    ]
                    seen += len(some)
                    on_progress(lacks, seen)
                added, _ = index.enrich(found) if found else (0, 0)
                filled += added
                forgotten += len(page) - len(found)
        finally:
            index.close()
            pool.close()
            await runtime.close()
            directory.close()
        return Warmed(lacks, filled, forgotten)

    def _stamps(self, page: list[Lacking]) -> dict[str, bytes]:
        """sha256 of each material's medium."""
        connection = redis.Redis.from_url(self._where.redis, socket_timeout=5.0)
        try:
            pipe = connection.pipeline(transaction=False)
            for one in page:
                pipe.hget(FEATURES + one.material_id, MEDIA)
            answers = pipe.execute()
        except (RedisError, OSError) as error:
            raise Retryable(f"Redis does not tell which media were kept: {error}") from error
        finally:
            connection.close()
        return {
            one.material_id: _FEATURE.decode(answer).data
            for one, answer in zip(page, answers, strict=True)
            if answer is not None
        }

    async def _feature(self, pool: MediaPool, runtime: PluginRuntime, sha256: bytes | None) -> Feature | None:
        path = None if sha256 is None else self._store.find(sha256)
        if path is None:
            return None
        kind: Literal["image", "video"] = "video" if self._manifest.media == "video" else "image"
        try:
            prepared = await pool.prepare(str(path), path.parent, kind)
            findings = await runtime.run(kind, prepared.tensors, failures=prepared.failures)
        except (Rejected, Permanent) as error:
            log.warning("kept_medium_unusable", path=str(path), error=str(error))
            return None
        return next(iter(findings.features.values()), None)


def _pages(index: IndexClient, has: str, lacks: str) -> Iterator[list[Lacking]]:
    after = 0
    while page := index.lacking(has, lacks, after, _PAGE):
        yield page
        after = page[-1].row
