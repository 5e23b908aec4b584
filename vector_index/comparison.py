"""From recall hits to fine-ranked candidates: which rows are worth a look, their evidence, the ranker's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec
import structlog

from materials.records import AssignItem, Candidate, Kind
from vector_index.clusters import Compared
from vector_index.log import Log, RowInfo
from vector_index.ranking.cosine import CosineRanker
from vector_index.ranking.protocol import Evidence, Ranker, Recall, RecallHit
from vector_index.recall import RowHits

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
    """

    def __init__(self, log: Log, rankers: Mapping[Kind, Ranker], counters: Counter[str]) -> None:
        self._log = log
        self._rankers = rankers
        self._counters = counters
        self._fallback = CosineRanker()

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
        usable = {
            key: [
                (row, score)
                for row, score in found
                if row in infos and infos[row].kind == query.kind and infos[row].material_id != exclude
            ]
            for key, found in hits.items()
        }
        rows = self._select(usable, infos, per_space)
        if not rows:
            return []
        centres = self._log.clusters.centres({infos[row].content_id for row in rows if infos[row].content_id})
        missing = [row for row in centres.values() if row not in infos]
        if missing:
            infos.update(self._log.infos(missing, policy))
        rows = [
            row
            for row in dict.fromkeys([*rows, *centres.values()])
            if row in infos and infos[row].material_id != exclude
        ]
        evidence = [self._evidence(row, infos[row], policy) for row in rows]
        row_of = {infos[row].material_id: row for row in rows}
        compared = []
        for candidate in self._rank(query, evidence, self._recall(usable, infos)):
            row = row_of[candidate.material_id]
            content_id = infos[row].content_id
            complete = msgspec.structs.replace(candidate, content_id=content_id)
            compared.append(Compared(complete, row, centres.get(content_id) == row, infos[row].exemplar))
        compared.sort(key=lambda entry: (-entry.candidate.score, not entry.is_centre, entry.row))
        return compared

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
            return ranker.rank(query, candidates, recall)
        except Exception:
            self._counters["ranker_failures"] += 1
            logger.exception("ranker failed", ranker=ranker.name, material_id=query.material_id)
            return self._fallback.rank(query, candidates, recall)

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

    @staticmethod
    def _select(hits: Mapping[str, RowHits], infos: Mapping[int, RowInfo], per_space: int) -> list[int]:
        chosen: dict[int, None] = {}
        for found in hits.values():
            taken = 0
            groups: Counter[str] = Counter()
            for row, _ in found:
                group = infos[row].group
                if taken == per_space:
                    break
                if group and groups[group] == PER_GROUP:
                    continue
                groups[group] += 1
                taken += 1
                chosen[row] = None
        return list(chosen)

    @staticmethod
    def _recall(hits: Mapping[str, RowHits], infos: Mapping[int, RowInfo]) -> Recall:
        return Recall(
            {
                key: tuple(RecallHit(infos[row].material_id, infos[row].group, score) for row, score in found)
                for key, found in hits.items()
            }
        )


def evidence_of(item: AssignItem, parts: tuple[tuple[str, str], ...] = ()) -> Evidence:
    """A query as rankers see it. `parts`: its media as (kind, content ID)."""
    return Evidence(material_id=item.material_id, kind=item.kind, features=item.features, text=item.text, parts=parts)
