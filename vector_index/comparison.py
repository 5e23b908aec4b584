"""From recall hits to fine-ranked candidates: which rows are worth a look, their evidence, the ranker's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from materials.records import AssignItem, Candidate, Kind
from vector_index.calibration import platt
from vector_index.calibration.platt import Line
from vector_index.clusters import Compared
from vector_index.log import Log
from vector_index.lone_cosine import LoneCosine, Scene, Worth, nothing
from vector_index.policies import Policy
from vector_index.ranking.cosine import CosineRanker
from vector_index.ranking.protocol import Evidence, Ranker, Recall, RecallHit
from vector_index.recall import BatchRecall, RowHits
from vector_index.row_places import RowInfo

PER_SPACE = 8
"""Rows of each recall path that are fine-ranked."""
PER_GROUP = 3
"""Of these at most so many of one content ID: a picture posted a thousand times must not hide all others."""
POST_PARTS = "post-parts"
"""The recall path of posts that share a medium: score = shared media of the query's."""

logger = structlog.get_logger(__name__)


class Comparer:
    """Fine ranking over the log's evidence.

    Args:
        rankers: by kind. One that raises is a defect: it is logged and counted, and the plain cosine judges instead,
            so that no material is lost to it.
        lines: by ranker's name, what makes its scores probabilities; default the shipped ones.
    """

    def __init__(
        self,
        log: Log,
        rankers: Mapping[Kind, Ranker],
        counters: Counter[str],
        lines: Mapping[str, Line] | None = None,
    ) -> None:
        self._log = log
        self._rankers = rankers
        self._counters = counters
        self._fallback = CosineRanker()
        self._lines = platt.shipped() if lines is None else lines
        self._lone = LoneCosine(log, PER_SPACE, PER_GROUP)

    def compare(
        self,
        query: Evidence,
        hits: Mapping[str, RowHits],
        infos: dict[int, RowInfo],
        policy: str,
        exclude: str = "",
        per_space: int = PER_SPACE,
    ) -> list[Compared]:
        """Compare the query with its best hits and the centres of their clusters.

        Args:
            per_space: rows of each recall path that are looked at.
            infos: of every row in `hits` that still lives; those of centres are added to it.
            exclude: a material id that is left out: the query's own.
        """
        recall, chosen = _looked_at(hits, infos, query.kind, exclude, per_space)
        if not chosen:
            return []
        known = {info.content_id for info in chosen.values() if info.content_id}
        centres = self._log.clusters.centres(known)
        missing = [row for row in centres.values() if row not in infos]
        if missing:
            infos.update(self._log.infos(missing, policy))
        for row in centres.values():
            if row not in chosen and row in infos and infos[row].material_id != exclude:
                chosen[row] = infos[row]
        evidence = [self._evidence(row, info, policy) for row, info in chosen.items()]
        row_of = {info.material_id: row for row, info in chosen.items()}
        compared = []
        for candidate in self._rank(query, evidence, recall):
            row = row_of[candidate.material_id]
            info = chosen[row]
            is_centre = centres.get(info.content_id) == row
            compared.append(Compared(_under(info.content_id, candidate), row, is_centre, info.exemplar))
        compared.sort(key=_best_first)
        return compared

    def by_cosine(
        self,
        query: Evidence,
        policy: Policy,
        hits: Callable[[], Mapping[str, RowHits]],
        own: int | None,
        ahead: Worth | None = None,
    ) -> list[Compared] | None:
        """As `compare`, but without candidates that reach no threshold by far; None where more than a cosine counts.

        Args:
            own: the query's own row, where it is stored already.
            ahead: what `worth_ahead` said of the query; `hits` are not asked for then.
        """
        worth = ahead
        if worth is None:
            scene = self._scene(query, policy)
            if scene is None:
                return None
            worth = self._lone.worth(scene, list(hits().get(scene.key, [])), own)
        if worth is None or not worth.hits:
            return []
        compared = self._lone.compare(query, worth, own)
        self._counters["pairs_ranked"] += len(compared)
        if len(compared) > 1:
            compared.sort(key=_best_first)
        return compared

    def worth_ahead(self, queries: Mapping[int, Evidence], policy: Policy, recall: BatchRecall) -> dict[int, Worth]:
        """By number, what `by_cosine` needs of those queries that are like the first, and whose hits are known before
        anything of the batch is decided. It holds until a row is removed. Queries that are in no other space."""
        first = next(iter(queries.values()))
        scene, form = self._scene(first, policy), _form(first)
        found = None if scene is None else recall.searched(scene.key)
        if scene is None or found is None or not found.rows.size:
            return {}
        numbers = [
            number
            for number, query in queries.items()
            if _form(query) == form and recall.only_searched(scene.key, number)
        ]
        if not numbers:
            return {}
        places = [found.place(number) for number in numbers]
        worth = self._lone.worth_all(scene, found.scores[places], found.rows[places])
        return {number: one or nothing(scene) for number, one in zip(numbers, worth, strict=True)}

    def _scene(self, query: Evidence, policy: Policy) -> Scene | None:
        """None where more than one cosine counts."""
        ranker: Any = self._rankers.get(query.kind)
        if not hasattr(ranker, "lone_space"):
            return None
        key = ranker.lone_space(query)
        if not key:
            return None
        line = self._lines.get(ranker.name, Line())
        return Scene(ranker, line, key, policy.name, policy.centre_threshold(query.kind))

    def sharing_posts(self, content_ids: list[str], k: int) -> RowHits:
        """Posts that hold some of these media: the share of the query's media that they hold, best first."""
        known = {content_id for content_id in content_ids if content_id}
        if not known:
            return []
        distinct = len(set(content_ids))
        return [(row, count / distinct) for row, count in self._log.clusters.posts_sharing(known, k)]

    def _rank(self, query: Evidence, candidates: list[Evidence], recall: Recall) -> list[Candidate]:
        ranker = self._rankers.get(query.kind, self._fallback)
        self._counters["pairs_ranked"] += len(candidates)
        try:
            return [self._calibrated(found) for found in ranker.rank(query, candidates, recall)]
        except Exception:  # counted and logged; the plain cosine judges, so that the record gets its answer
            self._counters["ranker_failures"] += 1
            logger.exception("ranker failed", ranker=ranker.name, material_id=query.material_id)
            return self._fallback.rank(query, candidates, recall)

    def ranker(self, kind: Kind) -> Ranker:
        """The ranker of a kind."""
        return self._rankers.get(kind, self._fallback)

    def pair(self, query: Evidence, candidate: Evidence, recall: Recall) -> Candidate:
        """One candidate, whether or not recall finds it."""
        return _under(candidate.content_id, self._rank(query, [candidate], recall)[0])

    def stored(self, row: int, info: RowInfo, policy: str) -> Evidence:
        """A stored material as rankers see it."""
        return self._evidence(row, info, policy)

    def _calibrated(self, found: Candidate) -> Candidate:
        line = self._lines.get(found.ranker)
        return found if line is None else msgspec.structs.replace(found, score=line.probability(found.score))

    def _evidence(self, row: int, info: RowInfo, policy: str) -> Evidence:
        stored = self._log.evidence(row)
        return Evidence(
            material_id=info.material_id,
            kind=info.kind,
            features=stored.features,
            text=stored.text,
            content_id=info.group,
            parts=self._log.clusters.media(row, policy) if info.kind == "post" else (),
        )


def _looked_at(
    hits: Mapping[str, RowHits], infos: Mapping[int, RowInfo], kind: Kind, exclude: str, per_space: int
) -> tuple[Recall, dict[int, RowInfo]]:
    """What recall found of that kind, and of it the rows that are worth fine ranking, in one pass over the hits."""
    chosen: dict[int, RowInfo] = {}
    recall: dict[str, tuple[RecallHit, ...]] = {}
    for key, found in hits.items():
        seen: list[RecallHit] = []
        taken = 0
        of_group: dict[str, int] = {}
        for row, score in found:
            info = infos.get(row)
            if info is None or info.kind != kind or info.material_id == exclude:
                continue
            group = info.group
            seen.append(RecallHit(info.material_id, group, score))
            if taken == per_space:
                continue
            members = of_group.get(group, 0)
            if members < PER_GROUP or not group:
                of_group[group] = members + 1
                taken += 1
                chosen[row] = info
        recall[key] = tuple(seen)
    return Recall(recall), chosen


def _under(content_id: str, candidate: Candidate) -> Candidate:
    """With the policy's own content ID: rankers see the group, which may be another policy's."""
    if candidate.content_id == content_id:
        return candidate
    return msgspec.structs.replace(candidate, content_id=content_id)


def _form(query: Evidence) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """What of its features decides by which rule a query of a kind is judged."""
    return [(key, one.schema, one.dtype, one.shape) for key, one in query.features.items()]


def _best_first(entry: Compared) -> tuple[float, bool, int]:
    return -entry.candidate.score, not entry.is_centre, entry.row


def evidence_of(item: AssignItem, parts: tuple[tuple[str, str], ...] = ()) -> Evidence:
    """A query as rankers see it. `parts`: its media as (kind, content ID)."""
    return Evidence(material_id=item.material_id, kind=item.kind, features=item.features, text=item.text, parts=parts)
