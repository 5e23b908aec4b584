"""Deciding one batch, item by item, inside one transaction of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from materials.records import AssignItem, Assignment, Features, Kind
from vector_index.clusters import comparable
from vector_index.comparison import POST_PARTS, Comparer, evidence_of
from vector_index.content.placement import Place, place
from vector_index.log import Decided, Live, Log
from vector_index.lone_cosine import Worth
from vector_index.near_media import near_media
from vector_index.policies import Policy
from vector_index.preparation import RECALL_K, Prepared, inherit, key_of, prepare
from vector_index.ranking.protocol import Evidence
from vector_index.recall import Spaces
from vector_index.row_places import RowInfo

REPORTED = 10
TOGETHER = 4
"""Queries from which looking at their hits together costs less than one by one."""


class BatchDecision:
    """One batch. After `run`, `removed` and `added` say what the spaces must forget and learn once it is committed."""

    def __init__(
        self,
        log: Log,
        spaces: Spaces,
        comparer: Comparer,
        policies: Mapping[str, Policy],
        known_spaces: Mapping[str, tuple[str, int]],
        clock: Callable[[], float],
        counters: Counter[str],
        place: Place = place,
    ) -> None:
        self._place = place
        self._log = log
        self._spaces = spaces
        self._comparer = comparer
        self._policies = policies
        self._known = dict(known_spaces)
        self._clock = clock
        self._counters = counters
        self._infos: dict[str, dict[int, RowInfo]] = {}
        self._histories: dict[str, list[Decided]] = {}
        self._noted: list[tuple[int, AssignItem, str, bool]] = []
        self._late: list[int] = []
        self._worth: dict[int, Worth] = {}
        self._prepared: Prepared
        self.removed: list[int] = []
        self.added: dict[int, Features] = {}
        self.opened: dict[str, tuple[str, int]] = {}

    def run(
        self,
        items: Sequence[AssignItem],
        prepared: Prepared | None = None,
        late: Callable[[int], Sequence[tuple[int, Features]]] = lambda _: (),
    ) -> list[Assignment]:
        """Decide all, in order; later items see earlier ones. Writes to the log, touches no space.

        Args:
            prepared: of all items, where that was done ahead.
            late: by `mark` of a recall, the rows and features that were decided since.
        """
        inherited = [inherit(item) for item in items]
        self._histories = self._log.histories(item.material_id for item in inherited)
        if prepared is None:
            prepared = prepare([item for item in inherited if self._is_new(item)], self._known, self._spaces)
        self._begin(prepared, late(prepared.recall.mark))
        self._look_ahead(inherited)
        return [self._item(item) for item in inherited]

    # --- before the first decision ---

    def _is_new(self, item: AssignItem) -> bool:
        """False only where an answer stands already: then recall would be wasted."""
        return item.op == "upsert" and _decision(item, self._histories[item.material_id]) is None

    def _begin(self, prepared: Prepared, late: Sequence[tuple[int, Features]]) -> None:
        """`late`: rows that the prepared search did not see."""
        self._prepared = prepared
        self.opened.update(prepared.opened)
        for key, (schema, dim) in self.opened.items():
            self._log.add_space(key, schema, dim)
        prepared.recall.catch_up([row for row, _ in late], [features for _, features in late])
        self._late = [row for row, _ in late]

    def _look_ahead(self, items: Sequence[AssignItem]) -> None:
        """What can be said of the hits of many items at once."""
        by_scene: dict[tuple[str, Kind], dict[int, Evidence]] = {}
        for item in items:
            number = self._prepared.numbers.get(key_of(item))
            if number is not None and not item.parts and len(item.features) == 1:
                by_scene.setdefault((item.policy, item.kind), {})[number] = evidence_of(item)
        for (policy, _), queries in by_scene.items():
            if len(queries) >= TOGETHER:
                self._worth.update(self._comparer.worth_ahead(queries, self._policies[policy], self._prepared.recall))

    def _infos_of(self, policy: str) -> dict[int, RowInfo]:
        """Of all rows that the batch's items found; read for the first item that asks."""
        infos = self._infos.get(policy)
        if infos is None:
            rows = self._prepared.recall.stored_rows()
            rows.update(self._late)
            infos = self._infos[policy] = self._log.infos(rows, policy) if rows else {}
            for row, item, content_id, exemplar in self._noted:
                infos.setdefault(row, _info(item, policy, content_id, exemplar))
        return infos

    # --- one item ---

    def _item(self, item: AssignItem) -> Assignment:
        history = self._histories.pop(item.material_id, None)
        if history is None:  # seen earlier in this batch
            history = self._log.histories([item.material_id])[item.material_id]
        if item.op == "delete":
            return self._delete(item, history)
        decided = _decision(item, history)
        if decided is not None:
            if decided.fingerprint != item.fingerprint:
                return self._conflict(item)
            self._counters["replays"] += 1
            return replace(self._log.assignment(decided.id), replayed=True)
        live = self._log.live(item.material_id) if history else None
        refused = self._stale(item, history, live) or self._unusable(item)
        if refused is not None:
            return refused
        if live is not None and live.revision == item.revision and _differs(item, live):
            return self._conflict(item)
        return self._upsert(item, live, None, first=not history)

    def _upsert(self, item: AssignItem, live: Live | None, parent: str | None, first: bool) -> Assignment:
        """`first`: nothing was ever decided about this id."""
        parts = tuple(
            self._upsert(part, self._log.live(part.material_id) if live is not None else None, item.material_id, first)
            for part in item.parts
        )
        row: int | None = None
        if live is not None:
            self._drop_parts_but(item)
            if _differs(item, live):
                self._kill(live.row)
            else:
                row = live.row
        assignment = self._decide(item, row, parts, parent, first)
        self._log.decide(assignment, item.policy, item.fingerprint)
        self._counters[assignment.outcome] += 1
        return assignment

    def _decide(
        self, item: AssignItem, row: int | None, parts: tuple[Assignment, ...], parent: str | None, first: bool
    ) -> Assignment:
        """Recall, fine ranking, content ID. `row`: its content is stored already, by another policy or revision."""
        recall = self._prepared.recall
        number = self._prepared.numbers[key_of(item)]
        if row is not None:
            row_features = self._keep_row(item, row)
            kept = self._log.content_id_of(row, item.policy)
            if kept:
                return self._unchanged(item, row, kept, parts)
        else:
            row_features = item.features
        media = tuple((part.kind, part.content_id) for part in parts)
        query = (
            evidence_of(item) if row_features is item.features else evidence_of(replace(item, features=row_features))
        )
        if media:
            shown = tuple((str(kind), content_id) for kind, content_id in media)
            query = replace(query, parts=shown, near=near_media(self._log, item.policy, parts))
        policy = self._policies[item.policy]
        ahead = None if self.removed or row is not None else self._worth.get(number)
        compared = self._comparer.by_cosine(query, policy, lambda: recall.hits(number), row, ahead)
        if compared is None:
            hits = recall.hits(number)
            infos = self._infos_of(item.policy)
            if media:
                sharing = self._comparer.sharing_posts([content_id for _, content_id in media], RECALL_K)
                hits[POST_PARTS] = sharing
                infos.update(self._log.infos([r for r, _ in sharing if r not in infos], item.policy))
            compared = self._comparer.compare(query, hits, infos, item.policy, item.material_id)
        compared = comparable(compared, policy)
        place = self._place(self._log, item, compared, policy)
        joined = None if place is None else place.matched
        recruits = policy.is_reference(item.biz) and (place is None or place.exemplar or bool(policy.references))

        if row is None:
            row = self._log.insert_material(item, parent)
            self.added[row] = item.features
            recall.place(number, row)
        if place is not None:
            content_id = place.content_id
            self._log.join(content_id, item, row, exemplar=recruits)
        else:
            content_id = self._log.found(item, row, self._clock(), recruits, first=first)
        if media:
            self._log.clusters.set_media(row, item.policy, media)
        self._note(item, row, content_id, recruits)
        return Assignment(
            material_id=item.material_id,
            kind=item.kind,
            outcome="unique" if joined is None else "duplicate",
            content_id=content_id,
            revision=item.revision,
            matched=joined or policy.partial_match(item.kind, [entry.candidate for entry in compared]),
            candidates=tuple(entry.candidate for entry in compared[:REPORTED]),
            parts=parts,
        )

    def _note(self, item: AssignItem, row: int, content_id: str, exemplar: bool) -> None:
        """Later items of the batch find this one, under whichever policy they come."""
        self._noted.append((row, item, content_id, exemplar))
        for policy, infos in self._infos.items():
            if policy == item.policy or row not in infos:
                infos[row] = _info(item, policy, content_id, exemplar)

    def _keep_row(self, item: AssignItem, row: int) -> Features:
        """The content is stored: move its revision up, add what was not known of it. All that is known."""
        self._log.set_revision(row, item.revision)
        stored = self._log.evidence(row)
        more = {key: feature for key, feature in item.features.items() if key not in stored.features}
        if not more:
            return stored.features
        together = {**stored.features, **more}
        self._log.set_evidence(row, replace(stored, features=together))
        self.added[row] = {**self.added.get(row, {}), **more}
        return together

    def _unchanged(self, item: AssignItem, row: int, content_id: str, parts: tuple[Assignment, ...]) -> Assignment:
        """A higher revision with the same content keeps its place, and what was said of it."""
        if parts:
            self._log.clusters.set_media(row, item.policy, [(part.kind, part.content_id) for part in parts])
        earlier = self._log.latest(item.material_id, item.policy)
        if earlier is None:
            raise AssertionError(f"{item.material_id} is a member of {content_id} without a decision")
        return replace(earlier, revision=item.revision, content_id=content_id, parts=parts)

    # --- revisions and deletes ---

    def _delete(self, item: AssignItem, history: Sequence[Decided]) -> Assignment:
        for decided in history:
            if decided.deletes and decided.policy == item.policy and decided.revision == item.revision:
                return replace(self._log.assignment(decided.id), replayed=True)
        live = self._log.live(item.material_id)
        if live is not None and live.revision > item.revision:
            return self._rejected(
                item,
                f"stale_revision: {item.material_id} is at revision {live.revision}, this delete is of {item.revision}",
            )
        policies = sorted({decided.policy for decided in history} | {item.policy})
        stored = [] if live is None else [(live.row, item.material_id), *self._log.live_parts(item.material_id)]
        mine: Assignment | None = None
        told = {decided.policy for decided in history if decided.deletes and decided.revision == item.revision}
        for policy in policies:
            if policy in told:
                continue
            gone = [
                Assignment(
                    material_id=material_id,
                    kind=item.kind if live is None or row == live.row else self._kind_of(row),
                    outcome="deleted",
                    content_id=self._log.content_id_of(row, policy),
                    revision=item.revision,
                )
                for row, material_id in stored or [(0, item.material_id)]
            ]
            answer = replace(gone[0], parts=tuple(gone[1:]))
            for assignment in (answer, *gone[1:]):
                self._log.decide(assignment, policy, item.fingerprint)
            mine = answer if policy == item.policy else mine
        for row, _ in stored:
            self._kill(row)
        self._counters["deleted"] += 1
        if mine is None:
            raise AssertionError("the item's own policy is always among the policies")
        return mine

    def _kind_of(self, row: int) -> Kind:
        return next(iter(self._log.infos([row], "").values())).kind

    def _kill(self, row: int) -> None:
        self._log.kill(row)
        for infos in self._infos.values():
            infos.pop(row, None)
        self._noted = [noted for noted in self._noted if noted[0] != row]
        self.added.pop(row, None)
        self.removed.append(row)

    def _drop_parts_but(self, item: AssignItem) -> None:
        kept = {part.material_id for part in item.parts}
        for row, material_id in self._log.live_parts(item.material_id):
            if material_id not in kept:
                self._kill(row)

    # --- refusals: nothing is stored, the same call is refused again ---

    def _stale(self, item: AssignItem, history: Sequence[Decided], live: Live | None) -> Assignment | None:
        deleted = max((decided.revision for decided in history if decided.deletes), default=-1)
        if deleted >= item.revision:
            return self._rejected(
                item,
                f"stale_revision: {item.material_id} was deleted at revision {deleted}; "
                f"to bring it back, send revision {deleted + 1} or higher",
            )
        if live is not None and live.revision > item.revision:
            return self._rejected(
                item, f"stale_revision: {item.material_id} is at revision {live.revision}, this is {item.revision}"
            )
        return None

    def _unusable(self, item: AssignItem) -> Assignment | None:
        key = key_of(item)
        problem = self._prepared.problems.get(key, "")
        return self._rejected(item, problem) if problem and key not in self._prepared.numbers else None

    def _conflict(self, item: AssignItem) -> Assignment:
        return self._rejected(
            item,
            f"conflicting_material: {item.material_id} revision {item.revision} is stored with other content; "
            "send a changed material with a higher revision",
        )

    def _rejected(self, item: AssignItem, reason: str) -> Assignment:
        self._counters["rejected"] += 1
        return Assignment(
            material_id=item.material_id, kind=item.kind, outcome="rejected", revision=item.revision, reason=reason
        )


def _info(item: AssignItem, policy: str, content_id: str, exemplar: bool) -> RowInfo:
    own = content_id if policy == item.policy else ""
    return RowInfo(item.material_id, item.kind, own, content_id, exemplar and own != "")


def _decision(item: AssignItem, history: Sequence[Decided]) -> Decided | None:
    for decided in history:
        if not decided.deletes and decided.policy == item.policy and decided.revision == item.revision:
            return decided
    return None


def _differs(item: AssignItem, live: Live) -> bool:
    return item.fingerprint != live.fingerprint or item.kind != live.kind
