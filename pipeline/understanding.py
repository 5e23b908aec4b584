"""One material, from its parsed line to its published outcome: extract, assign, publish. Knows nothing of Flink.

Failures end in one of four ways: bad input is `rejected`; what may pass is tried again with full-jitter backoff, each
step from where it stopped; when it does not pass soon, the record goes to the retry queue and comes back later; when
all attempts are spent, or the failure is permanent, the outcome is `dead`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256 as sha256_of
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
from reconcile.retry.backoff import pause
from reconcile.retry.entry import Entry
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


class FoundSoFar(Protocol):
    """Features of media and texts of which others are still missing, by the hash of what they are of."""

    async def keep(self, found: Mapping[str, Features]) -> None:
        """For a later attempt, perhaps of another worker."""
        ...

    async def known(self, name: str) -> Features:
        """What was kept; nothing is always right."""
        ...


class RetryQueue(Protocol):
    """Where a record waits for a later attempt."""

    async def take(self, envelope: Envelope, error: Retryable, attempt: int) -> Entry | None:
        """Returns once the queue has given leave; None: the record's attempts are spent."""
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
        queue: takes what does not pass soon; without one such a record is `dead`.
        so_far: keeps features for records in the queue.
        now: epoch seconds.
        jitter: uniform in 0..1.
        deadline_s: for one record over all its attempts: what holds a bundle longer holds a checkpoint.
        in_hand: media decoded and not yet through their plug-ins, at once.
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
        in_hand: int = 64,
        attempts: AttemptObserver | None = None,
        queue: RetryQueue | None = None,
        so_far: FoundSoFar | None = None,
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
        self._queue = queue
        self._so_far = so_far
        self._deadline_s = deadline_s
        self._order = MaterialOrder()
        self._hands = asyncio.Semaphore(in_hand)

    async def understand(self, envelope: Envelope) -> Outcome | Entry:
        """The outcome of one input line, published in Redis, or its place in the retry queue: then it has no outcome
        yet. Never raises for a record's sake.

        Revisions of one material take their turns; whoever is not done at the deadline is tried later.
        """
        progress = _Progress(envelope.attempt)
        if envelope.dropped:
            reason = f"dropped: {envelope.dropped}"
            return await self._publish_refusal(
                outcomes.ended(envelope, "dead", reason, envelope.attempt - 1, self._now())
            )
        try:
            async with asyncio.timeout(self._deadline_s), self._order.turn(envelope.material_id):
                return await self._attempts(envelope, progress)
        except TimeoutError:
            late = Retryable(f"it took longer than its deadline of {self._deadline_s:g} s")
            return await self._later(envelope, progress, late)
        except Retryable as error:
            return await self._later(envelope, progress, error)

    async def _attempts(self, envelope: Envelope, progress: _Progress) -> Outcome:
        """Those inside the operator.

        Raises:
            Retryable: they are spent.
        """
        # a record that comes back has waited already: one attempt, then the queue again
        first = envelope.attempt
        last = first if progress.returned else self._retry.attempts
        for attempt in range(first, last + 1):
            progress.attempt = attempt
            try:
                return await self._once(envelope, progress, attempt)
            except Rejected as error:
                progress.refusal = outcomes.ended(envelope, "rejected", error.reason, attempt, self._now())
            except Permanent as error:
                progress.refusal = outcomes.ended(envelope, "dead", f"permanent: {error}", attempt, self._now())
            except Retryable as error:
                _log.warning("retry", material_id=envelope.material_id, attempt=attempt, error=str(error))
                wish = error.retry_after if isinstance(error, Overloaded) else 0.0
                spent = attempt == last or (self._queue is not None and wish > self._retry.max_s)
                wait = pause(attempt - first, self._retry.base_s, self._retry.max_s, self._jitter(), wish)
                self._observer.attempt_failed(attempt, error, 0.0 if spent else wait)
                if spent:
                    raise
                await asyncio.sleep(wait)
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
            progress.extracted = await self._extract(material, Path(envelope.base), progress)
        if progress.assignment is None:
            progress.assignment = await self._index.assign_one(progress.extracted.item)
        taken = progress.assignment.outcome in ("unique", "duplicate")
        features = progress.extracted.features if taken else {}
        missing = progress.extracted.missing if taken else {}
        own = features.get(material.material_id, {})
        outcome = outcomes.assigned(envelope, progress.assignment, own, attempt, self._now(), missing)
        await self._projection.publish(outcome, features, progress.extracted.stamps if taken else {})
        return outcome

    async def _extract(self, material: Material, base: Path, progress: _Progress) -> Extracted:
        if material.op == "delete":
            return Extracted(self._item(material, NO_FINGERPRINT, {}), {}, {})
        if material.kind == "post":
            return await self._extract_post(material, base, progress)
        sha256, found = await self._medium(material.media[0], base, material.kind, material.text, progress)
        item = self._item(material, fingerprint(material.text, [sha256]), found.features)
        return Extracted(item, {material.material_id: found}, {material.material_id: sha256})

    async def _extract_post(self, material: Material, base: Path, progress: _Progress) -> Extracted:
        kinds = [media_kind(uri) for uri in material.media]
        media = await asyncio.gather(
            *(
                self._medium(uri, base, kind, material.text, progress)
                for uri, kind in zip(material.media, kinds, strict=True)
            )
        )
        own = await self._text(material.text, progress)
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

    async def _text(self, text: str, progress: _Progress) -> Findings:
        async def run(known: Features, found: Features) -> Findings:
            return await self._runtime.run("text", {}, media=TextMedia(text), text=text, known=known, found=found)

        return await self._going_on(sha256_of(text.encode("utf-8", "surrogatepass")).hexdigest(), progress, {}, run)

    async def _medium(self, uri: str, base: Path, kind: Kind, text: str, progress: _Progress) -> tuple[bytes, Findings]:
        async with self._hands:  # else every record under way would hold its pixels while it waits for a model
            return await self._features_of(uri, base, kind, text, progress)

    async def _features_of(
        self, uri: str, base: Path, kind: Kind, text: str, progress: _Progress
    ) -> tuple[bytes, Findings]:
        medium: Literal["image", "video"] = "video" if kind == "video" else "image"
        prepared = await self._media.prepare(uri, base, medium, self._runtime.wants(medium))

        async def run(known: Features, found: Features) -> Findings:
            return await self._runtime.run(
                medium,
                prepared.tensors,
                failures=prepared.failures,
                media=prepared.media,
                encoded=prepared.encoded,
                text=text,
                known=known,
                found=found,
            )

        async def compute(known: Features) -> Findings:
            return await self._going_on(prepared.sha256.hex(), progress, known, run)

        return prepared.sha256, await self._cache.find(medium, prepared.sha256, compute)

    async def _going_on(
        self,
        name: str,
        progress: _Progress,
        known: Features,
        run: Callable[[Features, Features], Awaitable[Findings]],
    ) -> Findings:
        """`run` with what earlier attempts found, so that only the plug-ins that failed are called again."""
        earlier = progress.found.get(name)
        if earlier is None:
            earlier = await self._so_far.known(name) if self._so_far is not None and progress.returned else {}
        known = {**earlier, **known}
        found: Features = {}
        try:
            return await run(known, found)
        finally:
            progress.found[name] = known | found

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

    async def _later(self, envelope: Envelope, progress: _Progress, error: Retryable) -> Outcome | Entry:
        """Outside the deadline: while the queue is away the record waits here, and no checkpoint passes."""
        attempt = progress.attempt
        entry = None if self._queue is None else await self._queue.take(envelope, error, attempt)
        if entry is None:
            reason = f"retries_spent: {error}"
            return await self._publish_refusal(outcomes.ended(envelope, "dead", reason, attempt, self._now()))
        if self._so_far is not None and progress.found:
            await self._so_far.keep(progress.found)
        return entry

    async def _publish_refusal(self, refusal: Outcome) -> Outcome:
        """A refusal is final whether or not Redis takes it: the sink is the record, Redis a projection of it."""
        try:
            await self._projection.publish(refusal, {}, {})
        except Retryable as error:
            _log.warning("refusal not in Redis", material_id=refusal.material_id, error=str(error))
        return refusal


class _Progress:
    """What earlier attempts of one record finished."""

    __slots__ = ("assignment", "attempt", "extracted", "found", "refusal", "returned")

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.returned = attempt > 1
        self.found: dict[str, Features] = {}
        self.extracted: Extracted | None = None
        self.assignment: Assignment | None = None
        self.refusal: Outcome | None = None


def media_kind(uri: str) -> Kind:
    """A post's medium is a video by its suffix, else an image; the decoder has the last word."""
    path = uri.split("?", 1)[0].split("#", 1)[0]
    return "video" if PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES else "image"
