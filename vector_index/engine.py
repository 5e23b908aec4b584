"""The index without its network: one writer, any number of readers, under one lock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from materials.errors import Retryable, UsageError
from materials.records import AssignItem, Assignment, Candidate, Features, Kind
from vector_index import snapshot
from vector_index.calibration.platt import Line
from vector_index.clusters import Compared, choose, comparable
from vector_index.comparison import POST_PARTS, Comparer, evidence_of
from vector_index.content.current import of_now
from vector_index.content.placement import Place, place
from vector_index.content.shelf import Shelf
from vector_index.crash_points import reached
from vector_index.decision import BatchDecision
from vector_index.enrichment import MAX_PAGE, Enrichment, Lacking, enrich, lacking
from vector_index.late_rows import Changes, LateRows
from vector_index.log import Log
from vector_index.log_clusters import MembersPage
from vector_index.log_events import Event
from vector_index.near_media import near_media
from vector_index.policies import POLICIES, Policy
from vector_index.preparation import RECALL_K, Prepared, inherit, prepare_ahead
from vector_index.ranking.protocol import Ranker
from vector_index.recall import BatchRecall, Elsewhere, RowHits, here
from vector_index.recall_engines.protocol import CollectionLost
from vector_index.row_places import RowInfo
from vector_index.search_filter import DEEPER, DEEPEST, admitted
from vector_index.segments.settings import SegmentSettings
from vector_index.validation import check_call, item_problem
from vector_index.where import EVERYTHING, Where

MAX_K = 100
SNAPSHOT_EVERY = 20_000
REPLAY_ROWS = 512

logger = structlog.get_logger(__name__)
T = TypeVar("T")


class IndexStats(msgspec.Struct, frozen=True):
    """What an index holds, and what it has done since its process started (`counters`)."""

    materials: int
    content_ids: int
    sequence: int
    snapshot_sequence: int
    spaces: dict[str, int]
    counters: dict[str, int]


class Engine:
    """Recall, fine ranking, content IDs, log.

    Durable before it is answered: the log commits, then the spaces learn. A crash between the two is mended at start,
    where the spaces are the newest snapshot plus every row that the log changed since.

    Args:
        folder: `log.sqlite` and `snapshots/` lie in it; one process at a time (the server holds a lock on it).
        rankers: by kind; a kind without one is ranked by the plain cosine.
        clock: epoch seconds, for the birth of content IDs.
        snapshot_every: decided items after which `snapshot_if_due` writes one.
        storage: budgets of the spaces.
        place: the rule by which a material joins a cluster; another one only where a log is replayed.
        elsewhere: which spaces lie in a recall engine (`RecallChoice.space_for`).
        lines: by ranker's name, what makes its scores probabilities; default the shipped ones.

    Raises:
        materials.errors.Permanent: a log that is damaged or has another format.
        Retryable: a recall engine that holds a space does not answer.
    """

    def __init__(
        self,
        folder: Path,
        rankers: Mapping[Kind, Ranker],
        policies: Mapping[str, Policy] = POLICIES,
        clock: Callable[[], float] = time.time,
        snapshot_every: int = SNAPSHOT_EVERY,
        place: Place = place,
        elsewhere: Elsewhere = here,
        storage: SegmentSettings | None = None,
        lines: Mapping[str, Line] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._snapshots = folder / "snapshots"
        self._policies = policies
        self._clock = clock
        self._place = place
        self._snapshot_every = snapshot_every
        self._lock = threading.RLock()
        self._counters: Counter[str] = Counter()
        self._broken = ""
        self._log = Log(folder / "log.sqlite", clock)
        self._comparer = Comparer(self._log, rankers, self._counters, lines)
        self._known = self._log.spaces()
        self._late = LateRows()
        self._since_snapshot = 0
        self._snapshotting = threading.Lock()
        self._snapshotter: threading.Thread | None = None
        self._closed = False
        self._spaces, self._snapshot_sequence = snapshot.load_newest(
            self._snapshots, self._log.sequence, elsewhere, folder / "segments", storage
        )
        self._mend()

    def _mend(self) -> None:
        """Bring the spaces from their snapshot up to the log."""
        reached("restore")
        gone: list[int] = []
        added: list[tuple[int, Features]] = []
        for change in self._log.changes(self._snapshot_sequence):
            self._since_snapshot += 1
            gone.append(change.row)
            if change.evidence is not None:
                added.append((change.row, change.evidence.features))
            if len(gone) >= REPLAY_ROWS:
                self._spaces.publish(gone, added)
                gone, added = [], []
                reached("restore-rows")
        self._spaces.publish(gone, added)
        reached("restore-rows")
        logger.info(
            "index opened", sequence=self._log.sequence, snapshot=self._snapshot_sequence, mended=self._since_snapshot
        )

    # --- writes ---

    def assign(self, items: Sequence[AssignItem]) -> list[Assignment]:
        """Decide a batch in order, in one transaction. Idempotent: what was decided is answered again.

        Raises:
            UsageError: a malformed call; nothing is done.
            Retryable: the disk refuses, or the index must be restarted; nothing is done, or it is kept by the log.
        """
        self.check(items)
        return self.decide([(items, None)])[0] if items else []

    def prepare(self, items: Sequence[AssignItem]) -> Prepared | None:
        """Recall for a call whose turn has not come, in any thread; give it to `decide` or to `forgo`.

        None where it cannot be done ahead.
        """
        with self._late.held():
            prepared = prepare_ahead(items, self._known, self._spaces)
            if prepared is not None:
                self._late.hold(prepared.recall.mark)
            return prepared

    def forgo(self, prepared: Prepared | None) -> None:
        """A prepared call is decided, or never will be."""
        if prepared is not None:
            self._late.release(prepared.recall.mark)

    def decide(self, calls: Sequence[tuple[Sequence[AssignItem], Prepared | None]]) -> list[list[Assignment]]:
        """Decide calls in order, all in one transaction. They are checked already, and stay prepared.

        Raises:
            Retryable: the disk refuses, or the index must be restarted; nothing is done, or it is kept by the log.
        """
        with self._lock:
            if self._broken:
                raise Retryable(self._broken)
            self._admit()
            counters = Counter[str]()
            known = dict(self._known)
            answers = []
            changes = Changes()
            with self._log.transaction():
                for items, prepared in calls:
                    decision = BatchDecision(
                        self._log,
                        self._spaces,
                        self._comparer,
                        self._policies,
                        known,
                        self._clock,
                        counters,
                        self._place,
                    )
                    answers.append(decision.run(items, prepared, lambda mark: self._late.since(mark, changes.added)))
                    known.update(decision.opened)
                    changes.then(decision.removed, decision.added)
            self._counters.update(counters)
            self._known = known
            self._learn(changes.removed, list(changes.added.items()))
            return answers

    def enrich(self, items: Sequence[Enrichment]) -> tuple[int, int]:
        """Store features of further versions beside those that are there, in one transaction.

        Returns:
            Features added; materials passed over, since they are gone or have another revision.

        Raises:
            UsageError: an unusable feature; nothing is done.
            Retryable: the disk refuses, or the index must be restarted.
        """
        with self._lock:
            if self._broken:
                raise Retryable(self._broken)
            self._admit()
            with self._log.transaction():
                done = enrich(self._log, self._known, items)
            self._known = {**self._known, **done.opened}
            self._learn([], done.rows)
            return done.added, done.passed_over

    def lacking(self, has: str, lacks: str, after: int = 0, limit: int = MAX_PAGE) -> list[Lacking]:
        """See `enrichment.lacking`."""
        with self._lock:
            return lacking(self._log, has, lacks, after, limit)

    def check(self, items: Sequence[AssignItem]) -> None:
        """Refuse a malformed call before it waits for the writer.

        Raises:
            UsageError: what is wrong.
        """
        check_call(items, self._policies)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """By name."""
        return self._policies

    @property
    def broken(self) -> str:
        """Why this engine must be replaced by a fresh one over the same folder, "" while it is sound."""
        return self._broken

    def _admit(self) -> None:
        """See `Spaces.admit`. A space that its engine lost comes back by a fresh start."""
        try:
            self._spaces.admit()
        except CollectionLost as error:
            self._broken = f"the index must be restarted: {error}"
            raise Retryable(self._broken) from error

    def _learn(self, removed: Sequence[int], added: Sequence[tuple[int, Features]]) -> None:
        """What the log has committed is made searchable; where that fails, only a fresh start is right again."""
        reached("after-log")
        try:
            self._publish(removed, added)
        except Exception as error:
            self._broken = f"the index must be restarted: the spaces fell behind the log ({error})"
            logger.exception("spaces fell behind the log")
        self._since_snapshot += len(added) + len(removed)

    def _publish(self, removed: Sequence[int], added: Sequence[tuple[int, Features]]) -> None:
        """After the commit: make it searchable. The one step that a crash may skip."""
        published = self._spaces.publish(removed, added)
        self._late.published(published, added)

    def change(self, call: Callable[[Shelf], T]) -> T:
        """Run an operation on content IDs in one transaction; see `vector_index.content.operations`.

        Raises:
            Retryable: the disk refuses, or the index must be restarted; nothing is done.
        """
        with self._lock:
            if self._broken:
                raise Retryable(self._broken)
            with self._log.transaction():
                return call(self._shelf())

    def look(self, call: Callable[[Shelf], T]) -> T:
        """Run a question about content IDs, between two batches."""
        with self._lock:
            return call(self._shelf())

    def _shelf(self) -> Shelf:
        return Shelf(self._log, self._spaces, self._comparer, self._policies, self._counters)

    def redirect(self, content_id: str, to: str) -> None:
        """Merge one content ID into another of the same policy and kind; the old one answers for ever.

        Raises:
            Permanent: unknown, the same already, or of another policy or kind.
        """
        with self._lock, self._log.transaction():
            source, target = self._log.clusters.resolve(content_id), self._log.clusters.resolve(to)
            self._log.redirect(content_id, to)
            if source is not None and target is not None:
                policy = self._log.clusters.row(source).policy
                self._log.events.add(Event(policy=policy, content_id=source, what="merged", other=target))

    # --- reads ---

    def search(self, item: AssignItem, k: int = 10, where: Where = EVERYTHING) -> list[Candidate]:
        """What `assign` would compare the item with, best first; nothing is stored.

        Args:
            where: what may be answered; materials of the item's own kind are, at most.

        Raises:
            UsageError: a malformed item, an unusable feature, k out of range.
        """
        if not 1 <= k <= MAX_K:
            raise UsageError(f"k is {k}", f"1 to {MAX_K}")
        self.check([item])
        problem = item_problem(item, self._known)
        if problem:
            raise UsageError(problem)
        item = inherit(item)
        features = [one.features for one in (*item.parts, item)]
        depth = max(RECALL_K, k)
        while True:
            # recall takes no lock of ours: only what is read of the log afterwards takes its turn with the writer
            recall = BatchRecall(self._spaces, features, depth)
            with self._lock:
                found = self._ranked(item, k, recall, where)
            more = any(len(hits) >= depth for hits in recall.hits(len(item.parts)).values())
            if where == EVERYTHING or len(found) >= k or not more or depth >= DEEPEST:
                return found
            depth = min(DEEPEST, depth * DEEPER)

    def _ranked(self, item: AssignItem, k: int, recall: BatchRecall, where: Where) -> list[Candidate]:
        policy = self._policies[item.policy]
        infos = self._log.infos(recall.stored_rows(), item.policy)
        parts = [self._as_if_decided(n, part, recall.hits(n), infos, policy) for n, part in enumerate(item.parts)]
        media = tuple((str(part.kind), part.content_id) for part in parts)
        hits = recall.hits(len(item.parts))
        if media:
            hits[POST_PARTS] = self._comparer.sharing_posts([content_id for _, content_id in media], RECALL_K)
            infos.update(self._log.infos([row for row, _ in hits[POST_PARTS]], item.policy))
        wanted = admitted(where, self._log, infos)
        query = replace(evidence_of(item, media), near=near_media(self._log, item.policy, parts))
        found: list[Compared] = self._comparer.compare(query, hits, wanted, item.policy, per_space=max(k, 8))
        passing = admitted(where, self._log, wanted)  # the comparison added centres
        return [entry.candidate for entry in comparable(found, policy) if entry.row in passing][:k]

    def _as_if_decided(
        self, number: int, part: AssignItem, hits: Mapping[str, RowHits], infos: dict[int, RowInfo], policy: Policy
    ) -> Assignment:
        """A post's medium; where it joins nothing, with an ID that no stored medium has."""
        compared = comparable(self._comparer.compare(evidence_of(part), hits, infos, policy.name), policy)
        joined = choose(compared, policy, part.kind)
        content_id = f"@{number}" if joined is None else joined.candidate.content_id
        candidates = tuple(entry.candidate for entry in compared)
        return Assignment(
            material_id=part.material_id, kind=part.kind, outcome="unique", content_id=content_id, candidates=candidates
        )

    def get(self, material_ids: Sequence[str], policy: str) -> list[Assignment | None]:
        """The decisions that hold now, None for ids that were never decided under the policy."""
        with self._lock:
            return of_now(self._log, [self._log.latest(material_id, policy) for material_id in material_ids], policy)

    def located(self, material_ids: Sequence[str], policy: str) -> list[tuple[Assignment | None, str]]:
        """As `get`, each with the content ID that the material has *now*, after merges and splits; "" without one."""
        with self._lock:
            now = self._log.clusters.places(policy, material_ids)
            decided = self.get(material_ids, policy)
            return [(one, now.get(name, ("", 0))[0]) for name, one in zip(material_ids, decided, strict=True)]

    def members_page(self, content_id: str, after: int, limit: int) -> MembersPage:
        """Members beyond a row, oldest first, through redirects."""
        with self._lock:
            return self._log.clusters.members_page(content_id, after, limit)

    def members(self, content_id: str) -> list[str]:
        """Material ids, oldest first, through redirects; empty for an unknown content ID."""
        with self._lock:
            return self._log.clusters.members(content_id)

    def resolve(self, content_id: str) -> str | None:
        """The canonical content ID, None for one that was never minted."""
        with self._lock:
            return self._log.clusters.resolve(content_id)

    def stats(self) -> IndexStats:
        """Counts now; `counters` since the start of this process."""
        with self._lock:
            materials, content_ids = self._log.counts()
            return IndexStats(
                materials,
                content_ids,
                self._log.sequence,
                self._snapshot_sequence,
                {key: len(space) for key, space in self._spaces.items()},
                dict(self._counters),
            )

    # --- snapshots and the end ---

    def snapshot(self) -> int:
        """Write a snapshot of the spaces; the log's sequence that it holds. Assigns and reads go on meanwhile.

        Raises:
            Retryable: the disk refuses; earlier snapshots are untouched.
        """
        with self._snapshotting:
            with self._lock:
                if self._broken:
                    raise Retryable(self._broken)
                sequence = self._log.sequence
                if self._closed or self._snapshot_sequence >= sequence:
                    return self._snapshot_sequence
                schemas = {key: schema for key, (schema, _) in self._known.items()}
                frozen = snapshot.freeze(self._spaces)
                self._since_snapshot = 0
            try:
                snapshot.save(self._snapshots, frozen, schemas, sequence)
            except OSError as error:
                raise Retryable(f"no snapshot could be written under {self._snapshots} ({error})") from error
            self._snapshot_sequence = sequence
            return sequence

    def snapshot_if_due(self) -> None:
        """Begin a snapshot in the background when enough was decided since the last."""
        if self._since_snapshot >= self._snapshot_every and not self._broken and not self._snapshotting.locked():
            self._snapshotter = threading.Thread(target=self._snapshot_quietly, name="index-snapshot", daemon=True)
            self._snapshotter.start()

    def _snapshot_quietly(self) -> None:
        """A disk that refuses is logged, not raised."""
        try:
            self.snapshot()
        except Retryable as error:
            logger.warning("snapshot failed", reason=str(error))

    def settle(self) -> None:
        """Wait until nothing is done in the background: no snapshot, no sealing, no merging."""
        snapshotter = self._snapshotter
        if snapshotter is not None:
            snapshotter.join()
        self._spaces.settle()

    def close(self, *, take_snapshot: bool = True) -> None:
        """End cleanly; with a snapshot, so that the next start is short."""
        if take_snapshot and not self._broken:
            self._snapshot_quietly()
        with self._snapshotting, self._lock:
            self._closed = True
            self._spaces.close()
            self._log.close()
