"""What the gateway asks: the index for what was decided, Redis for what never came so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from materials.errors import Retryable, SosieError
from materials.records import AssignItem, Assignment, Candidate, Features, Kind
from pipeline.gateway.extraction import Extraction
from pipeline.gateway.schemas import Content, Evidence, Found, Match, Material, Members, Part
from pipeline.gateway.settings import GatewaySettings
from pipeline.projection import OUTCOME
from vector_index.client import AsyncIndexClient

_HEALTH_SECONDS = 2.0
_NO_FINGERPRINT = bytes(16)


class Backend:
    """Belongs to one event loop.

    Args:
        settings: where the parts are.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._index = AsyncIndexClient(settings.addresses.index, settings.call_seconds)
        self._health = AsyncIndexClient(settings.addresses.index, _HEALTH_SECONDS)
        self._redis = redis.asyncio.Redis.from_url(
            settings.addresses.redis, socket_timeout=settings.call_seconds, socket_connect_timeout=2.0
        )
        self.extraction = Extraction(settings)

    async def materials(self, material_ids: Sequence[str], policy: str) -> list[Found]:
        """What was decided of each, in their order. One call of the index; a question to Redis for those unknown there.

        Raises:
            UsageError: an unknown policy.
            Retryable: the index does not answer.
        """
        located = await self._index.located(material_ids, policy, brief=True)
        found = [
            Found(material_id=one, material=None if decided is None else _material(decided, content_id, policy))
            for one, (decided, content_id) in zip(material_ids, located, strict=True)
        ]
        unknown = [one for one in found if one.material is None]
        if unknown:
            records = await self._refusals([one.material_id for one in unknown], policy)
            for one, record in zip(unknown, records, strict=True):
                one.material = record
        return found

    async def evidence(self, material_id: str, policy: str) -> Evidence | None:
        """The decision with all that was compared, None for an unknown material."""
        [(decided, content_id)] = await self._index.located([material_id], policy)
        if decided is None:
            return None
        candidates = [Match.of(candidate) for candidate in decided.candidates]
        return Evidence(material=_material(decided, content_id, policy), candidates=candidates)

    async def content(self, content_id: str) -> Content | None:
        """Where a content ID leads, None for one that was never minted."""
        page = await self._index.members_page(content_id, limit=1)
        if page.content_id is None:
            return None
        moved = page.content_id != content_id
        return Content(content_id=content_id, canonical=page.content_id, redirected=moved, members=page.total)

    async def members(self, content_id: str, after: int, limit: int) -> Members | None:
        """A page, None for a content ID that was never minted."""
        page = await self._index.members_page(content_id, after, limit)
        if page.content_id is None:
            return None
        return Members(
            content_id=content_id,
            canonical=page.content_id,
            total=page.total,
            material_ids=page.material_ids,
            next=page.next or None,
        )

    async def search(self, kind: Kind, policy: str, features: Features, text: str, k: int) -> list[Candidate]:
        """Stored materials near these features; nothing is stored."""
        item = AssignItem(
            material_id="?", kind=kind, policy=policy, fingerprint=_NO_FINGERPRINT, features=features, text=text
        )
        return await self._index.search(item, k)

    async def known_policy(self, policy: str) -> None:
        """Ask for the policy before dearer work is done for it.

        Raises:
            UsageError: it is unknown.
        """
        await self._index.get([], policy)

    async def health(self) -> dict[str, str]:
        """Part -> `ok`, or why not."""
        parts: dict[str, str] = {}
        try:
            await self._health.resolve("-")
            parts["index"] = "ok"
        except SosieError as error:
            parts["index"] = str(error)
        try:
            await self._redis.ping()
            parts["redis"] = "ok"
        except (RedisError, OSError) as error:
            parts["redis"] = f"does not answer: {type(error).__name__}"
        return parts

    async def close(self) -> None:
        """Give everything back."""
        await self.extraction.close()
        await self._index.close()
        await self._health.close()
        await self._redis.aclose()

    async def _refusals(self, material_ids: Sequence[str], policy: str) -> list[Material | None]:
        """`rejected` and `dead` outcomes: such materials never reached the index."""
        pipe = self._redis.pipeline(transaction=False)
        for material_id in material_ids:
            pipe.hget(OUTCOME + material_id, policy)
        try:
            records: list[bytes | None] = await pipe.execute()
        except (RedisError, OSError) as error:
            raise Retryable(f"Redis does not answer ({type(error).__name__})") from error
        return [None if record is None else _refusal(record, policy) for record in records]


def _material(decided: Assignment, content_id: str, policy: str) -> Material:
    return Material(
        material_id=decided.material_id,
        policy=policy,
        kind=decided.kind,
        revision=decided.revision,
        outcome=decided.outcome,
        content_id=content_id or None,
        decided_content_id=decided.content_id or None,
        matched=None if decided.matched is None else Match.of(decided.matched),
        parts=[
            Part(material_id=p.material_id, kind=p.kind, outcome=p.outcome, content_id=p.content_id or None)
            for p in decided.parts
        ],
        reason=decided.reason or None,
    )


def _refusal(record: bytes, policy: str) -> Material | None:
    outcome: dict[str, Any] = msgspec.json.decode(record)
    if outcome["outcome"] not in ("rejected", "dead"):
        return None  # Redis knows a decision that the index does not: Redis is the projection, the index the truth
    kind = outcome.get("kind")
    return Material(
        material_id=outcome["material_id"],
        policy=policy,
        kind=kind if kind in ("image", "video", "post") else None,
        revision=outcome.get("revision", 0),
        outcome=outcome["outcome"],
        content_id=None,
        decided_content_id=None,
        reason=outcome.get("reason"),
    )
