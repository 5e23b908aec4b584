"""What a fine ranker sees and answers. Rankers are pure: no I/O, no clock, no state that a call changes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from materials.records import Candidate, Features, Kind


class Near(msgspec.Struct, frozen=True, gc=False):
    """A medium of a post may be a copy of other content. `place`: in `Evidence.parts`; `score`: the probability."""

    place: int
    content_id: str
    score: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A material as it is stored: all that fine ranking may look at.

    `parts`: a post's media as (kind, content ID) in order; the content IDs are resolved through redirects.
    `near`: other content than those IDs that its media may be copies of.
    """

    material_id: str
    kind: Kind
    features: Features = {}
    text: str = ""
    content_id: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    near: tuple[Near, ...] = ()


class RecallHit(msgspec.Struct, frozen=True, gc=False):
    """One answer of one recall path: `score` is a cosine, or a vote weight for `image-local`."""

    material_id: str
    content_id: str
    score: float


class Recall(msgspec.Struct, frozen=True):
    """Everything that recall found for one query, by space (`image-embedding@1`), best first.

    It holds more hits than are ranked: the surplus is what a score is normalised against (own-rank normalisation).
    """

    hits: dict[str, tuple[RecallHit, ...]]


class Logistic(msgspec.Struct, frozen=True):
    """score = 1 / (1 + exp(-(intercept + slope x cosine))), slope > 0."""

    intercept: float
    slope: float

    def score(self, cosine: float) -> float:
        """0..1."""
        return 1.0 / (1.0 + exp(-max(-40.0, min(40.0, self.intercept + self.slope * cosine))))


class CosineRule(Protocol):
    """What a ranker offers beside `rank` where, for some queries, nothing but one cosine and the query's background
    decides. Most candidates then need no evidence: what recall said of them is enough to pass them by."""

    name: str

    def lone_space(self, query: Evidence) -> str:
        """The space whose cosine alone decides for this query, "" where more counts."""
        ...

    def rule(self, best: Sequence[float]) -> Logistic:
        """The rule for a query whose hits in that space have these cosines, one for each distinct content, best first;
        six suffice."""
        ...

    def rules(self, best: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """Intercepts [n] and the slope of `rule` for many queries. `best` [n, 6], NaN where there are fewer."""
        ...

    def highest(self, least: float) -> Logistic:
        """A rule whose scores no rule exceeds for a query whose last hit has the cosine `least`."""
        ...


class Ranker(Protocol):
    """One kind's fine ranker."""

    name: str
    """Name and version, e.g. `image-fusion@1`: stored with each score that it gave."""

    def rank(self, query: Evidence, candidates: Sequence[Evidence], recall: Recall) -> list[Candidate]:
        """Score every candidate against the query.

        Returns:
            One `Candidate` per input candidate, in any order: `score` the calibrated probability of shared content
            in 0..1, `relation`, `recall_score`, `ranker`, `segments` for videos. Missing features (a job without
            local features) lower what is known, never raise.
        """
        ...
