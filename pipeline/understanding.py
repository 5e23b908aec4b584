"""One material, from its parsed line to its published outcome: extract, assign, publish. Knows nothing of Flink.

Failures end in one of three ways: bad input is `rejected`; what may pass is tried again with full-jitter backoff, each
step from where it stopped; when the attempts are spent, or the failure is permanent, the outcome is `dead`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import msgspec
import structlog

from materials.errors import Overloaded, Permanent, Rejected, Retryable
from materials.records import AssignItem, Assignment, Features, Kind, Material, Outcome
from model_plugins.protocol import MediaKind, TextMedia
from model_plugins.runtime import PluginRuntime
from model_plugins.runtime.findings import Findings
from model_plugins.runtime.wants import Wants
from pipeline import outcomes
from pipeline.envelope import Envelope
from pipeline.material_order import MaterialOrder
from pipeline.media.fingerprint import fingerprint
from pipeline.media.medium import Prepared
from pipeline.spec import Retry
from vector_index.spaces.factory import EVIDENCE

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".flv", ".ts", ".mpg", ".mpeg", ".3gp"})
NO_FINGERPRINT = bytes(16)
"""Of a delete: there is no content to tell apart."""
Compute = Callable[[Features], Awaitable[Findings]]
"""Features that are known already -> all of them."""
_log = structlog.get_logger(__name__)


class Assigner(Protocol):
    """The index, as seen from here."""

    async def assign_one(self, item: AssignItem) -> Assignment:
        """Assign; a replay returns the stored assignment."""
        ...


class Media(Protocol):
    """The decode children: `MediaPool`."""

    async def prepare(self, uri: str, base: Path, kind: Literal["image", "video"], wants: Wants = ...) -> Prepared:
        """Fetch, read, decode and prepare one medium."""
        ...


class Publisher(Protocol):
    """Redis, as seen from here: `Projection`."""

    async def publish(
        self, outcome: Outcome, features: dict[str, Features], stamps: Mapping[str, bytes] | None = None
    ) -> None:
        """Write one outcome; writing again is harmless."""
        ...


class AttemptObserver(Protocol):
    """Is told of attempts that failed and are made again, or were the last."""

    def attempt_failed(self, attempt: int, error: Exception, pause: float) -> None:
        """Attempt number `attempt` failed; the next one begins in `pause` seconds, none does where that is 0."""
        ...


class Unobserved:
    """Nobody is told."""

    def attempt_failed(self, attempt: int, error: Exception, pause: float) -> None:
        """Nothing."""


class Cache(Protocol):
    """Features of bytes that were seen before."""

    async def find(self, kind: MediaKind, sha256: bytes, compute: Compute) -> Findings:
        """`compute` is given what is known of them."""
        ...


class Extracted(msgspec.Struct, frozen=True):
    """What the index is told of a material, and what was found, by material id: its own and its parts'.

    `stamps`: sha256 of the medium, by material id.
    """

    item: AssignItem
    found: dict[str, Findings]
    stamps: dict[str, bytes]

    @property
    def features(self) -> dict[str, Features]:
        """By material id."""
        return {material_id: found.features for material_id, found in self.found.items()}

    @property
    def missing(self) -> dict[str, dict[str, str]]:
        """By material id, where something is."""
        return {material_id: found.missing for material_id, found in self.found.items() if found.missing}


class Understanding:
    """The way of one material. Every dependency is handed in.

    Args:
        policy: the job's policy.
        evidence: whether the index is told the features of a plug-in.
        media: the decode children.
        runtime: runs the plug-ins.
        cache: what was found before for the same bytes.
        index: assigns content IDs.
        projection: Redis.
        retry: attempts and backoff.
        now: epoch seconds.
        jitter: uniform in 0..1.
        deadline_s: for one record over all its attempts: what holds a bundle longer holds a checkpoint.
        attempts: is told of those that failed.
    """

    def __init__(
        self,
        *,
        policy: str,
        evidence: Callable[[str], bool],
        media: Media,
        runtime: PluginRuntime,
        cache: Cache,
        index: Assigner,
        projection: Publisher,
        retry: Retry,
        now: Callable[[], float],
        jitter: Callable[[], float],
        deadline_s: float = 300.0,
        attempts: AttemptObserver | None = None,
    ) -> None:
        self._observer = attempts or Unobserved()
        self._policy = policy
        self._evidence = evidence
        self._media = media
        self._runtime = runtime
        self._cache = cache
        self._index = index
        self._projection = projection
        self._retry = retry
        self._now = now
        self._jitter = jitter
        self._deadline_s = deadline_s
        self._order = MaterialOrder()

    async def understand(self, envelope: Envelope) -> Outcome:
        """The outcome of one input line, published in Redis. Never raises for a record's sake.

        Revisions of one material take their turns; whoever is not done at the deadline is given up.
        """
        progress = _Progress()
        try:
            async with asyncio.timeout(self._deadline_s), self._order.turn(envelope.material_id):
                return await self._attempts(envelope, progress)
        except TimeoutError:
            late = f"it took longer than its deadline of {self._deadline_s:g} s"
            return await self._give_up(envelope, late, progress.attempt)

    async def _attempts(self, envelope: Envelope, progress: _Progress) -> Outcome:
        for attempt in range(1, self._retry.attempts + 1):
            progress.attempt = attempt
            try:
                return await self._once(envelope, progress, attempt)
            except Rejected as error:
                progress.refusal = outcomes.ended(envelope, "rejected", error.reason, attempt, self._now())
            except Permanent as error:
                progress.refusal = outcomes.ended(envelope, "dead", f"permanent: {error}", attempt, self._now())
            except Retryable as error:
                _log.warning("retry", material_id=envelope.material_id, attempt=attempt, error=str(error))
                last = attempt == self._retry.attempts
                pause = 0.0 if last else self._pause(error, attempt)
                self._observer.attempt_failed(attempt, error, pause)
                if last:
                    return await self._give_up(envelope, str(error), attempt)
                await asyncio.sleep(pause)
            except Exception as error:
                # A bug of ours or of a plug-in must cost one record, loudly, and never the job.
                _log.exception("unexpected", material_id=envelope.material_id)
                reason = f"unexpected: {type(error).__name__}: {error}"
                progress.refusal = outcomes.ended(envelope, "dead", reason, attempt, self._now())
            if progress.refusal is not None:
                return await self._publish_refusal(progress.refusal)
        raise AssertionError("the last attempt returns")  # attempts >= 1 by the spec

    async def _once(self, envelope: Envelope, progress: _Progress, attempt: int) -> Outcome:
        """One attempt; what an earlier attempt finished is not done again."""
        material = envelope.material
        if envelope.rejection is not None or material is None:
            reason = envelope.rejection or "unreadable: the line holds no record"
            refused = outcomes.ended(envelope, "rejected", reason, attempt, self._now())
            await self._projection.publish(refused, {}, {})
            return refused
        if progress.extracted is None:
            progress.extracted = await self._extract(material, Path(envelope.base))
        if progress.assignment is None:
            progress.assignment = await self._index.assign_one(progress.extracted.item)
        taken = progress.assignment.outcome in ("unique", "duplicate")
        features = progress.extracted.features if taken else {}
        missing = progress.extracted.missing if taken else {}
        own = features.get(material.material_id, {})
        outcome = outcomes.assigned(envelope, progress.assignment, own, attempt, self._now(), missing)
        await self._projection.publish(outcome, features, progress.extracted.stamps if taken else {})
        return outcome

    async def _extract(self, material: Material, base: Path) -> Extracted:
        if material.op == "delete":
            return Extracted(self._item(material, NO_FINGERPRINT, {}), {}, {})
        if material.kind == "post":
            return await self._extract_post(material, base)
        sha256, found = await self._medium(material.media[0], base, material.kind, material.text)
        item = self._item(material, fingerprint(material.text, [sha256]), found.features)
        return Extracted(item, {material.material_id: found}, {material.material_id: sha256})

    async def _extract_post(self, material: Material, base: Path) -> Extracted:
        kinds = [media_kind(uri) for uri in material.media]
        media = await asyncio.gather(
            *(self._medium(uri, base, kind, material.text) for uri, kind in zip(material.media, kinds, strict=True))
        )
        own = await self._runtime.run("text", {}, media=TextMedia(material.text), text=material.text)
        parts = tuple(
            AssignItem(
                material_id=f"{material.material_id}/{i}",
                kind=kind,
                policy=self._policy,
                fingerprint=fingerprint("", [sha256]),
                revision=material.revision,
                features=self._of_evidence(found.features),
                biz=material.biz,
                created_at=material.created_at,
            )
            for i, (kind, (sha256, found)) in enumerate(zip(kinds, media, strict=True))
        )
        stamp = fingerprint(material.text, [sha256 for sha256, _ in media])
        item = self._item(material, stamp, own.features, parts)
        of_parts = {part.material_id: medium for part, medium in zip(parts, media, strict=True)}
        return Extracted(
            item,
            {material.material_id: own} | {name: found for name, (_, found) in of_parts.items()},
            {name: sha256 for name, (sha256, _) in of_parts.items()},
        )

    async def _medium(self, uri: str, base: Path, kind: Kind, text: str) -> tuple[bytes, Findings]:
        medium: Literal["image", "video"] = "video" if kind == "video" else "image"
        prepared = await self._media.prepare(uri, base, medium, self._runtime.wants(medium))

        async def compute(known: Features) -> Findings:
            return await self._runtime.run(
                medium,
                prepared.tensors,
                failures=prepared.failures,
                media=prepared.media,
                encoded=prepared.encoded,
                text=text,
                known=known,
            )

        return prepared.sha256, await self._cache.find(medium, prepared.sha256, compute)

    def _of_evidence(self, features: Features) -> Features:
        return {
            key: feature
            for key, feature in features.items()
            if feature.schema in EVIDENCE and self._evidence(key.partition("@")[0])
        }

    def _item(
        self, material: Material, stamp: bytes, features: Features, parts: Sequence[AssignItem] = ()
    ) -> AssignItem:
        return AssignItem(
            material_id=material.material_id,
            kind=material.kind,
            policy=self._policy,
            fingerprint=stamp,
            revision=material.revision,
            features=self._of_evidence(features),
            text=material.text,
            parts=tuple(parts),
            biz=material.biz,
            created_at=material.created_at,
            op=material.op,
        )

    def _pause(self, error: Retryable, attempt: int) -> float:
        """Full jitter (AWS Architecture Blog, 2015); an overloaded server's own wish comes on top."""
        ceiling = min(self._retry.max_s, self._retry.base_s * 2.0 ** (attempt - 1))
        wish = error.retry_after if isinstance(error, Overloaded) else 0.0
        return wish + ceiling * self._jitter()

    async def _publish_refusal(self, refusal: Outcome) -> Outcome:
        """A refusal is final whether or not Redis takes it: the sink is the record, Redis a projection of it."""
        try:
            await self._projection.publish(refusal, {}, {})
        except Retryable as error:
            _log.warning("refusal not in Redis", material_id=refusal.material_id, error=str(error))
        return refusal

    async def _give_up(self, envelope: Envelope, error: str, attempts: int) -> Outcome:
        reason = f"retries_spent: {error}"
        return await self._publish_refusal(outcomes.ended(envelope, "dead", reason, attempts, self._now()))


class _Progress:
    """What earlier attempts of one record finished."""

    __slots__ = ("assignment", "attempt", "extracted", "refusal")

    def __init__(self) -> None:
        self.attempt = 1
        self.extracted: Extracted | None = None
        self.assignment: Assignment | None = None
        self.refusal: Outcome | None = None


def media_kind(uri: str) -> Kind:
    """A post's medium is a video by its suffix, else an image; the decoder has the last word."""
    path = uri.split("?", 1)[0].split("#", 1)[0]
    return "video" if PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES else "image"
