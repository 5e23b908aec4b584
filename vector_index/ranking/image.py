"""`image-fusion@2`: one calibrated probability for two pictures from everything that was measured on them.

The embeddings' cosine, the votes of local features, both against the query's own background (own-rank normalisation: it
makes scores comparable across queries), PDQ hashes, and the affine map that RANSAC finds: how much of the two pictures
it explains, and what the query has in common with other contents. Boosted trees weigh them where the features that
matter most are there, a logistic regression for every other combination that a job may compute; both are fitted by
`benchmarks/fit/image_fusion.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate
from vector_index.ranking import image_evidence as measure
from vector_index.ranking.boosted_trees import BoostedTrees
from vector_index.ranking.geometry import agree
from vector_index.ranking.image_evidence import EMBEDDING, LOCAL, PDQ, Pair, Picture
from vector_index.ranking.protocol import Evidence, Logistic, Recall, RecallHit

VERIFIED = 12
"""Candidates that RANSAC looks at, the most promising first: about half a millisecond each."""
CERTAIN_COSINE = 0.995
CERTAIN_SCORE = 0.999
_PLACE = {name: place for place, name in enumerate(measure.FEATURES)}


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A logistic regression: probability = sigmoid(bias + sum of weight x column), columns as in `FEATURES`."""

    bias: float
    weights: dict[str, float]

    def probability(self, pair: Pair) -> float:
        """0..1."""
        columns = measure.columns(pair)
        total = self.bias + sum(weight * columns[_PLACE[name]] for name, weight in self.weights.items())
        return _sigmoid(total)

    def line(self, background: float) -> tuple[float, float]:
        """(intercept, slope) of the sum over the cosine, for weights of the set `vector` and a query's background."""
        own_rank = self.weights.get("cosine_own_rank", 0.0)
        return self.bias - own_rank * background, self.weights.get("cosine", 0.0) + own_rank


class Fitted(msgspec.Struct, frozen=True):
    """The shipped file. `sets`: by the sorted schemas that both pictures have, joined by `+`; `before`: the same
    without geometry, which decides whose geometry is worth computing; `quiet_*`: the usual backgrounds; `trees`: for
    some of the sets, what is asked instead."""

    quiet_cosine: float
    quiet_votes: float
    sets: dict[str, Weights]
    before: dict[str, Weights]
    training: dict[str, float]
    trees: dict[str, BoostedTrees] = {}


def _sigmoid(total: float) -> float:
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, total))))


def shipped() -> Fitted:
    """The weights in the package.

    Raises:
        ValueError: they are of other measurements than this code's.
    """
    fitted = msgspec.json.decode(
        (files("vector_index.ranking") / "data" / "image_fusion.json").read_bytes(), type=Fitted
    )
    for name, trees in fitted.trees.items():
        if trees.columns != measure.FEATURES:
            raise ValueError(f"the trees of {name} are of other measurements than this code's: {trees.columns}")
    return fitted


def schemas(one: Picture, other: Picture) -> str:
    """The name of the weight set for what both pictures have."""
    have = {
        EMBEDDING: one.embedding is not None and other.embedding is not None,
        LOCAL: one.keypoints is not None and other.keypoints is not None,
        PDQ: one.bits is not None and other.bits is not None,
    }
    return "+".join(sorted(name for name, present in have.items() if present))


class ImageFusion:
    """Ranker of images. Pure and deterministic; safe to share between threads.

    Args:
        fitted: other weights than the shipped ones.
        verified: candidates that RANSAC looks at.
    """

    name = "image-fusion@2"

    def __init__(self, fitted: Fitted | None = None, verified: int = VERIFIED) -> None:
        self._fitted = fitted or shipped()
        self._verified = verified
        self._lone = self._fitted.sets.get(EMBEDDING)

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        """Score every candidate: relation `same`, `recall_score` the cosine (without an embedding, the votes)."""
        cosines = measure.lone_cosines(query.features, candidates)
        if cosines is not None and self._lone is not None:
            usual = measure.background(self._hits(query, EMBEDDING, recall), self._fitted.quiet_cosine)
            return self._by_cosine(candidates, cosines, self._lone.line(usual))
        ours = measure.picture(query.features)
        theirs = [measure.picture(candidate.features, query.features) for candidate in candidates]
        pairs = self.measured(query, ours, candidates, theirs, recall)
        return [
            Candidate(
                material_id=candidate.material_id,
                score=score,
                relation="same",
                recall_score=pair.cosine if ours.embedding is not None else pair.votes,
                ranker=self.name,
                content_id=candidate.content_id,
            )
            for candidate, pair, score in zip(candidates, pairs, self._scores(ours, theirs, pairs), strict=True)
        ]

    def lone_space(self, query: Evidence) -> str:
        """See `CosineRule`: a job that computes embeddings only."""
        features = query.features
        if self._lone is None or any(feature.schema in (LOCAL, PDQ) for feature in features.values()):
            return ""
        key = measure.space_of(features, EMBEDDING)
        return key if key and features[key].dtype == "float32" and len(features[key].shape) == 1 else ""

    def rule(self, best: Sequence[float]) -> Logistic:
        """See `CosineRule`."""
        hits = [RecallHit("", str(rank), cosine) for rank, cosine in enumerate(best)]
        return self._logistic(measure.background(hits, self._fitted.quiet_cosine))

    def rules(self, best: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """See `CosineRule`: `measure.background` of every line."""
        if self._lone is None:
            raise ValueError("there are no weights for an embedding alone")
        ranks = best[:, measure.BACKGROUND_RANKS].astype(np.float64)
        usual = np.where(np.isnan(ranks), self._fitted.quiet_cosine, ranks).mean(axis=1)
        (base, slope), (shifted, _) = self._lone.line(0.0), self._lone.line(1.0)
        return base + (shifted - base) * usual, slope

    def highest(self, least: float) -> Logistic:
        """See `CosineRule`: the lower its background, the higher a query's scores."""
        return self._logistic(min(least, self._fitted.quiet_cosine))

    def _logistic(self, background: float) -> Logistic:
        if self._lone is None:
            raise ValueError("there are no weights for an embedding alone")
        return Logistic(*self._lone.line(background))

    def _by_cosine(
        self, candidates: Sequence[Evidence], cosines: Sequence[float], line: tuple[float, float]
    ) -> list[Candidate]:
        """The same for a job that computes embeddings only, without measuring what the other columns need."""
        intercept, slope = line
        return [
            Candidate(
                material_id=candidate.material_id,
                score=_sigmoid(intercept + slope * cosine),
                relation="same",
                recall_score=cosine,
                ranker=self.name,
                content_id=candidate.content_id,
            )
            for candidate, cosine in zip(candidates, cosines, strict=True)
        ]

    def measured(
        self,
        query: Evidence,
        ours: Picture,
        candidates: Sequence[Evidence],
        theirs: Sequence[Picture],
        recall: Recall,
    ) -> list[Pair]:
        """Everything about each pair, the geometry of the most promising included."""
        cosines = self._hits(query, EMBEDDING, recall)
        votes = self._hits(query, LOCAL, recall)
        usual = measure.background(cosines, self._fitted.quiet_cosine)
        noise = measure.background(votes, self._fitted.quiet_votes)
        voted = {hit.material_id: hit.score for hit in votes}
        pairs = []
        for candidate, picture in zip(candidates, theirs, strict=True):
            plain, turned = measure.hamming(ours, picture)
            few = min(len(one.keypoints.xy) if one.keypoints is not None else 0 for one in (ours, picture))
            pairs.append(
                Pair(
                    cosine=measure.cosine(ours, picture),
                    cosine_background=usual,
                    votes=voted.get(candidate.material_id, 0.0),
                    votes_background=noise,
                    hamming=plain,
                    hamming_turned=turned,
                    points=few,
                )
            )
        for place in self._worth_verifying(ours, theirs, pairs):
            one, other = ours.keypoints, theirs[place].keypoints
            if one is not None and other is not None:
                pairs[place] = _refuted(pairs[place]._replace(geometry=agree(one, other)))
        return measure.with_rivals(pairs, [c.content_id or f"/{c.material_id}" for c in candidates])

    def _worth_verifying(self, ours: Picture, theirs: Sequence[Picture], pairs: Sequence[Pair]) -> list[int]:
        if ours.keypoints is None:
            return []
        promise = [
            -1.0 if self._certain(ours, picture, pair) else self._before(ours, picture, pair)
            for picture, pair in zip(theirs, pairs, strict=True)
        ]
        order = np.argsort(-np.array(promise), kind="stable")[: self._verified]
        return [int(place) for place in order if promise[place] >= 0]

    def _before(self, ours: Picture, other: Picture, pair: Pair) -> float:
        known = self._fitted.before.get(schemas(ours, other))
        return known.probability(pair) if known else 0.0

    @staticmethod
    def _certain(ours: Picture, other: Picture, pair: Pair) -> bool:
        """The same picture but for its encoding: nothing is left to verify."""
        reliable = min(ours.quality, other.quality) >= measure.LEAST_QUALITY
        return reliable and pair.hamming == 0 and pair.cosine >= CERTAIN_COSINE

    def _scores(self, ours: Picture, theirs: Sequence[Picture], pairs: Sequence[Pair]) -> list[float]:
        scores = [0.0] * len(pairs)
        asked: dict[str, list[int]] = {}
        for place, (other, pair) in enumerate(zip(theirs, pairs, strict=True)):
            name = schemas(ours, other)
            if name in self._fitted.trees:
                asked.setdefault(name, []).append(place)
            elif name in self._fitted.sets:
                scores[place] = self._fitted.sets[name].probability(pair)
        for name, places in asked.items():
            rows = np.array([measure.columns(pairs[place]) for place in places])
            for place, score in zip(places, self._fitted.trees[name].probabilities(rows).tolist(), strict=True):
                scores[place] = score
        return [
            max(score, CERTAIN_SCORE) if self._certain(ours, other, pair) else score
            for score, other, pair in zip(scores, theirs, pairs, strict=True)
        ]

    @staticmethod
    def _hits(query: Evidence, schema: str, recall: Recall) -> tuple[RecallHit, ...]:
        return recall.hits.get(measure.space_of(query.features, schema), ())


def _refuted(pair: Pair) -> Pair:
    """Votes count only as far as geometry bears them out: dots of two star fields vote for each other, in no order."""
    if pair.geometry.inliers > measure.CHANCE_INLIERS:
        return pair
    return pair._replace(votes=min(pair.votes, pair.votes_background))
