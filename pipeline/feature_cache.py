"""A repost calls no model: features of identical bytes are taken from the material that had them first.

Three levels: the same bytes under way right now are computed once; those of a moment ago are in memory; older ones are
in Redis, where `sosie:same:{sha256}` names a material and the `@media` of its features says that they are still of
these bytes. A feature counts only under its own `plugin@version`, so a new plug-in or model version computes anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from materials.records import Feature, Features
from model_plugins.client.batching import MicroBatcher, Slice
from model_plugins.protocol import MediaKind
from model_plugins.runtime.findings import Findings
from pipeline.projection import FEATURES, MEDIA, SAME

log = structlog.get_logger(__name__)

_MANY = 64
_WAIT_S = 0.008
_PATIENCE_S = 2.0
"""For both, see `pipeline.projection`."""
_FEATURE = msgspec.msgpack.Decoder(Feature)
Compute = Callable[[Features], Awaitable[Findings]]


class FeatureCache:
    """Use it from one event loop.

    Args:
        url: Redis, `redis://host:port/0`.
        keys: medium kind -> `plugin@version` of everything that would be computed now.
        size: media whose features are kept in memory, a dozen kilobytes each.
        on_result: told the keys that were found and those that were not, for each medium.
    """

    def __init__(
        self,
        url: str,
        keys: Callable[[MediaKind], set[str]],
        size: int = 1000,
        on_result: Callable[[set[str], set[str]], None] = lambda _hits, _misses: None,
    ) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=None, socket_connect_timeout=1.0)
        self._keys = keys
        self._size = size
        self._on_result = on_result
        self._recent: OrderedDict[bytes, Features] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[None]] = {}
        self._batcher: MicroBatcher[bytes, Features] = MicroBatcher(self._read, _MANY, wait=_WAIT_S, in_flight=2)

    async def find(self, kind: MediaKind, sha256: bytes, compute: Compute) -> Findings:
        """Findings of a medium.

        Args:
            sha256: 32 bytes, of the file.
            compute: given what is known already, returns all; whatever it raises is raised here, and the next one to
                ask for the same bytes computes for itself.
        """
        while running := self._running.get(sha256):
            await asyncio.shield(running)
        done = self._running[sha256] = asyncio.get_running_loop().create_future()
        try:
            known = self._of_now(kind, await self._known(sha256))
            findings = await compute(known)
        finally:
            del self._running[sha256]
            done.set_result(None)
        self._remember(sha256, findings.features)
        return findings

    async def close(self) -> None:
        """Close the connections."""
        await self._batcher.close()
        await self._redis.aclose()

    async def _known(self, sha256: bytes) -> Features:
        recent = self._recent.get(sha256)
        if recent is not None:
            return recent
        try:
            return (await self._batcher.submit(sha256, 1))[0]
        except (RedisError, OSError) as error:
            # a cache that is away costs model calls, and no record
            log.warning("feature_cache_unreachable", error=str(error))
            return {}

    def _of_now(self, kind: MediaKind, known: Features) -> Features:
        wanted = self._keys(kind)
        found = {key: feature for key, feature in known.items() if key in wanted}
        self._on_result(set(found), wanted - found.keys())
        return found

    def _remember(self, sha256: bytes, features: Features) -> None:
        self._recent[sha256] = features
        self._recent.move_to_end(sha256)
        while len(self._recent) > self._size:
            self._recent.popitem(last=False)

    async def _read(self, slices: list[Slice[bytes]]) -> Sequence[Features]:
        async with asyncio.timeout(_PATIENCE_S):
            return await self._ask(slices)

    async def _ask(self, slices: list[Slice[bytes]]) -> Sequence[Features]:
        names: list[bytes | None] = await self._redis.mget([SAME + piece.item.hex() for piece in slices])
        found: list[Features] = [{} for _ in slices]
        hits = [(place, name) for place, name in enumerate(names) if name is not None]
        if not hits:
            return found
        pipe = self._redis.pipeline(transaction=False)
        for _, name in hits:
            pipe.hgetall(FEATURES + name.decode())
        for (place, _), fields in zip(hits, await pipe.execute(), strict=True):
            found[place] = _features_of(fields, slices[place].item)
        return found


def _features_of(fields: dict[bytes, Any], sha256: bytes) -> Features:
    """The features, if they are still those of these bytes."""
    try:
        stamp = fields.pop(MEDIA.encode(), None)
        if stamp is None or _FEATURE.decode(stamp).data != sha256:
            return {}
        return {key.decode(): _FEATURE.decode(value) for key, value in fields.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("feature_cache_unreadable", error=str(error))
        return {}
