"""The short way through fine ranking, where one cosine alone decides (`CosineRule`): what cannot matter is not read.

Recall found cosines already, a little off. With the rule for this query they bound every score, so that evidence is
read only of candidates that reach `FLOOR`; a material whose best hit cannot reach it is compared with nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from materials.records import Candidate, Feature
from vector_index.calibration.platt import Line
from vector_index.clusters import Compared
from vector_index.log import Log, RowInfo
from vector_index.ranking.protocol import CosineRule, Evidence, Logistic
from vector_index.recall import RowHits

FLOOR = 0.1
"""Candidates of a lower score are not reported: no policy's threshold is near."""
CODE_ERROR = 0.005
"""A space's cosines come from vectors in half precision, or from a recall engine's own: off by less than this."""
AT_ONCE = 10
"""Hits whose content is asked for at once: enough, as a rule, for the candidates and the background."""
CONTENTS = 6
"""Distinct contents that make a background (`image_evidence.background`)."""


class LoneCosine:
    """Compares by the cosine of one space.

    Args:
        per_space: hits that are looked at; per_group: of these at most so many of one content ID.
    """

    def __init__(self, log: Log, per_space: int, per_group: int) -> None:
        self._log = log
        self._per_space = per_space
        self._per_group = per_group

    def compare(
        self, rule: CosineRule, line: Line, key: str, query: Evidence, found: RowHits, policy: str, own: int | None
    ) -> list[Compared]:
        """The candidates that reach `FLOOR`, in no order: hits, and the centres of their clusters.

        Args:
            line: makes the ranker's score a probability.
            key: the space.
            found: its hits, best first.
            own: the query's own row, where it is stored already.
        """
        if not found or line.probability(rule.highest(found[-1][1]).score(found[0][1] + CODE_ERROR)) < FLOOR:
            return []
        logistic, near = self._near(rule, line, found, query, policy, own)
        if not near:
            return []
        centres = self._log.clusters.centres({info.content_id for info in near.values() if info.content_id})
        missing = [row for row in centres.values() if row not in near]
        if missing:
            infos = self._log.infos(missing, policy)
            near.update((row, info) for row, info in infos.items() if row != own)
        compared = []
        for row, cosine in self._cosines(query.features[key], key, near).items():
            score = line.probability(logistic.score(cosine))
            info = near[row]
            is_centre = centres.get(info.content_id) == row
            if score >= FLOOR or is_centre:
                candidate = Candidate(
                    material_id=info.material_id,
                    score=score,
                    recall_score=cosine,
                    ranker=rule.name,
                    content_id=info.content_id,
                )
                compared.append(Compared(candidate, row, is_centre, info.exemplar))
        return compared

    def _near(
        self, rule: CosineRule, line: Line, found: RowHits, query: Evidence, policy: str, own: int | None
    ) -> tuple[Logistic, dict[int, RowInfo]]:
        """The query's rule, and the hits that may reach `FLOOR` by it."""
        best: list[float] = []
        chosen: list[tuple[int, float]] = []
        of_group: dict[int, int] = {}
        for at in range(0, len(found), AT_ONCE):
            some = found[at : at + AT_ONCE]
            for (row, cosine), group in zip(some, self._log.groups([row for row, _ in some], policy), strict=True):
                if not group or row == own:
                    continue
                members = of_group.get(group, 0)
                if not members:
                    best.append(cosine)
                of_group[group] = members + 1
                if members < self._per_group and len(chosen) < self._per_space:
                    chosen.append((row, cosine))
            if len(best) >= CONTENTS and len(chosen) == self._per_space:
                break
        logistic = rule.rule(best)
        rows = [row for row, cosine in chosen if line.probability(logistic.score(cosine + CODE_ERROR)) >= FLOOR]
        infos = self._log.infos(rows, policy) if rows else {}
        return logistic, {row: info for row, info in infos.items() if info.kind == query.kind}

    def _cosines(self, ours: Feature, key: str, rows: Mapping[int, RowInfo]) -> dict[int, float]:
        """Exact, from the stored vectors; a row without a like vector is left out."""
        stored: list[bytes] = []
        with_vector: list[int] = []
        for row in rows:
            theirs = self._log.evidence(row).features.get(key)
            if theirs is not None and theirs.shape == ours.shape and theirs.dtype == ours.dtype:
                stored.append(theirs.data)
                with_vector.append(row)
        vectors = np.frombuffer(b"".join((ours.data, *stored)), "<f4").reshape(1 + len(stored), *ours.shape)
        # by rows: a matrix product may round a row differently by its place, and then equal pictures would not tie
        return dict(zip(with_vector, np.vecdot(vectors[1:], vectors[0]).tolist(), strict=True))
