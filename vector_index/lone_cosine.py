"""The short way through fine ranking, where one cosine alone decides (`CosineRule`): what cannot matter is not read.

Recall found cosines already, a little off. With the rule for this query they bound every score. A candidate that cannot
reach `FLOOR` is left out; one that cannot reach the threshold is reported by recall's cosine; evidence is read, and the
exact cosine taken, only of those that may be joined, and of the centres of their clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate, Feature
from vector_index.calibration.platt import Line
from vector_index.clusters import Compared
from vector_index.log import Log
from vector_index.ranking.protocol import CosineRule, Evidence, Logistic
from vector_index.recall import RowHits
from vector_index.row_places import RowInfo
from vector_index.segments.arrays import Matrix, Rows

FLOOR = 0.01
"""Candidates of a lower score, a probability, are not reported: no policy's threshold is near."""
CODE_ERROR = 0.005
"""A space's cosines come from vectors in half precision, or from a recall engine's own: off by less than this."""
CONTENTS = 6
"""Distinct contents that make a background (`image_evidence.background`)."""
STEEPEST = 40.0
"""Log-odds beyond which a logistic is 0 or 1."""


class Scene(NamedTuple):
    """Under what a query is judged: its ranker's rule and calibration, its space, its policy, and the score from which
    it may join a cluster."""

    rule: CosineRule
    line: Line
    key: str
    policy: str
    threshold: float


class Worth(NamedTuple):
    """What of a query's hits is worth a look: the query's scene and rule, and (row, cosine, score), best first. `near`:
    of the first so many the score may reach the threshold; `infos`: of all rows that live, and of others."""

    scene: Scene
    logistic: Logistic
    hits: list[tuple[int, float, float]]
    near: int
    infos: Mapping[int, RowInfo]


def nothing(scene: Scene) -> Worth:
    """No hit is worth a look."""
    return Worth(scene, Logistic(0.0, 1.0), [], 0, {})


class LoneCosine:
    """Compares by the cosine of one space.

    Args:
        per_space: hits that are looked at; per_group: of these at most so many of one content ID.
    """

    def __init__(self, log: Log, per_space: int, per_group: int) -> None:
        self._log = log
        self._per_space = per_space
        self._per_group = per_group

    def worth(self, scene: Scene, found: RowHits, own: int | None) -> Worth | None:
        """`worth_all` for one query. `own`: its own row, where it is stored already."""
        hits = [hit for hit in found if hit[0] != own]
        if not hits:
            return None
        rule, line = scene.rule, scene.line
        if line.probability(rule.highest(hits[-1][1]).score(hits[0][1] + CODE_ERROR)) < FLOOR:
            return None
        rows, scores = np.array([[row for row, _ in hits]], np.int64), np.array([[score for _, score in hits]])
        return self.worth_all(scene, scores, rows)[0]

    def worth_all(self, scene: Scene, scores: Matrix | NDArray[np.float64], rows: Rows) -> list[Worth | None]:
        """By query the hits that reach `FLOOR`, None where there is none.

        Args:
            scores, rows: [n, k], best first, -1 for no row.
        """
        groups = self._log.groups(rows, scene.policy)
        alive = groups != 0
        same = (groups[:, :, None] == groups[:, None, :]) & alive[:, None, :]
        members = np.tril(same, -1).sum(axis=2)  # of its content, before it
        first = alive & (members == 0)
        best = np.full((len(rows), CONTENTS), np.nan, np.float32)
        rank = np.cumsum(first, axis=1) - 1
        query, column = np.nonzero(first & (rank < CONTENTS))
        best[query, rank[query, column]] = scores[query, column]
        intercepts, slope = scene.rule.rules(best)
        chosen = alive & (members < self._per_group)
        chosen &= np.cumsum(chosen, axis=1) <= self._per_space
        line = scene.line
        odds = intercepts[:, None] + slope * np.where(alive, scores, -1.0)
        odds = np.clip(odds, -STEEPEST, STEEPEST) * line.slope + line.shift
        error = slope * line.slope * CODE_ERROR
        chosen &= odds + error >= _log_odds(FLOOR)
        near = (chosen & (odds + error >= _log_odds(scene.threshold))).sum(axis=1).tolist()
        query, column = np.nonzero(chosen)
        if not len(query):
            return [None] * len(rows)
        infos = self._log.infos(set(rows[query, column].tolist()), scene.policy)
        hits: list[list[tuple[int, float, float]]] = [[] for _ in rows]
        for number, *hit in zip(
            query.tolist(),
            rows[query, column].tolist(),
            scores[query, column].tolist(),
            (1.0 / (1.0 + np.exp(-odds[query, column]))).tolist(),
            strict=True,
        ):
            hits[number].append(tuple(hit))
        return [
            Worth(scene, Logistic(intercept, slope), found, close, infos) if found else None
            for intercept, found, close in zip(intercepts.tolist(), hits, near, strict=True)
        ]

    def compare(self, query: Evidence, worth: Worth, own: int | None) -> list[Compared]:
        """The candidates that reach `FLOOR`, in no order: hits, and the centres of the clusters that may be joined."""
        scene, infos, kind = worth.scene, worth.infos, query.kind
        ranker = scene.rule.name
        near: dict[int, RowInfo] = {}
        for row, _, _ in worth.hits[: worth.near]:
            info = infos.get(row)
            if info is not None and info.kind == kind:
                near[row] = info
        compared = self._exactly(scene, query, worth.logistic, near, own) if near else []
        for row, cosine, score in worth.hits[worth.near :]:
            info = infos.get(row)
            if score < FLOOR or info is None or info.kind != kind or row in near:
                continue
            candidate = Candidate(
                material_id=info.material_id,
                score=score,
                recall_score=cosine,
                ranker=ranker,
                content_id=info.content_id,
            )
            compared.append(Compared(candidate, row, False, info.exemplar))
        return compared

    def _exactly(
        self, scene: Scene, query: Evidence, logistic: Logistic, near: dict[int, RowInfo], own: int | None
    ) -> list[Compared]:
        """Of these rows, and of the centres of their clusters, which are added to `near`."""
        centres = self._log.clusters.centres({info.content_id for info in near.values() if info.content_id})
        missing = [row for row in centres.values() if row not in near]
        if missing:
            infos = self._log.infos(missing, scene.policy)
            near.update((row, info) for row, info in infos.items() if row != own)
        compared = []
        for row, cosine in self._cosines(query.features[scene.key], scene.key, near).items():
            score = scene.line.probability(logistic.score(cosine))
            info = near[row]
            is_centre = centres.get(info.content_id) == row
            if score >= FLOOR or is_centre:
                candidate = Candidate(
                    material_id=info.material_id,
                    score=score,
                    recall_score=cosine,
                    ranker=scene.rule.name,
                    content_id=info.content_id,
                )
                compared.append(Compared(candidate, row, is_centre, info.exemplar))
        return compared

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


def _log_odds(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))
