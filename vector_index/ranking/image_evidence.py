"""What an image ranker measures on a pair: recall scores against their own background, hashes, geometry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from materials.records import Features
from vector_index.ranking.geometry import CHANCE, NOTHING, Agreement, Keypoints, unpack
from vector_index.ranking.protocol import Evidence, RecallHit

EMBEDDING, LOCAL, PDQ = "vector", "keypoints", "pdq"
PDQ_BITS = 256
LEAST_QUALITY = 40
"""Below this quality a PDQ hash is noise (the published advice is 50 for photographs)."""
BACKGROUND_RANKS = slice(1, 6)
_FLOAT32 = np.dtype("<f4")


class Picture(NamedTuple):
    """A material's stored evidence, decoded; None where the job did not compute it."""

    embedding: NDArray[np.float32] | None = None
    keypoints: Keypoints | None = None
    bits: NDArray[np.uint8] | None = None
    quality: int = 0


def picture(features: Features, comparable: Features | None = None) -> Picture:
    """By schema; of several versions of one the last by name counts. Arrays of an unexpected shape count as absent.

    Args:
        comparable: the other side of the pair: only the versions that it counts are read, since vectors of two
            embedding versions are never compared.
    """
    embedding, keypoints, bits, quality = None, None, None, 0
    for key, feature in sorted(features.items()):
        if comparable is not None and key != space_of(comparable, feature.schema):
            continue
        array = feature.array()
        if feature.schema == EMBEDDING and array.ndim == 1:
            embedding = array.astype(np.float32)
        elif feature.schema == LOCAL and array.ndim == 2 and array.dtype == np.uint8 and array.shape[1] == 52:
            keypoints = unpack(array)
        elif feature.schema == PDQ and array.shape == (33,):
            # coefficient i of the 16 x 16 transform is bit i, and the hash is written from bit 255 down
            bits, quality = np.unpackbits(array[:32])[::-1].reshape(16, 16), int(array[32])
    return Picture(embedding, keypoints, bits, quality)


def space_of(features: Features, schema: str) -> str:
    """The key of the feature of that schema, the last by name, empty when there is none."""
    return max([key for key, feature in features.items() if feature.schema == schema], default="")


def cosine(one: Picture, other: Picture) -> float:
    """Of the embeddings; 0 where one is missing."""
    if one.embedding is None or other.embedding is None or one.embedding.shape != other.embedding.shape:
        return 0.0
    return float(one.embedding @ other.embedding)


def lone_cosines(features: Features, candidates: Sequence[Evidence]) -> list[float] | None:
    """The cosine with every candidate, where a float32 embedding is the query's only evidence and all have its like.

    None where anything else is there to be weighed, or missing. A product by rows: a matrix product may round a row
    differently by its place, and then equal pictures would not tie.
    """
    if not candidates or any(feature.schema in (LOCAL, PDQ) for feature in features.values()):
        return None
    key = space_of(features, EMBEDDING)
    if not key:
        return None
    ours = features[key]
    if ours.dtype != "float32" or len(ours.shape) != 1:
        return None
    stored = []
    for candidate in candidates:
        theirs = candidate.features.get(key)
        if theirs is None or theirs.schema != EMBEDDING or theirs.shape != ours.shape or theirs.dtype != "float32":
            return None
        stored.append(theirs.data)
    vectors = np.frombuffer(b"".join((ours.data, *stored)), _FLOAT32).reshape(1 + len(stored), *ours.shape)
    cosines: list[float] = np.vecdot(vectors[1:], vectors[0]).tolist()
    return cosines


def background(hits: Iterable[RecallHit], quiet: float) -> float:
    """What this query's also-rans reach: the mean of ranks 2 to 6 over *distinct* content IDs.

    A picture that was posted three times would otherwise hide itself; a hit without a content ID stands for itself.
    Ranks that recall did not fill count as `quiet`, the usual background.

    Args:
        hits: best first, so that a content ID's first hit is its best, and the ranks after the sixth need no look.
    """
    best: dict[str, float] = {}
    for hit in hits:
        name = hit.content_id or f"/{hit.material_id}"
        if name not in best:
            best[name] = hit.score
            if len(best) == BACKGROUND_RANKS.stop:
                break
    ranked = list(best.values())[BACKGROUND_RANKS]
    wanted = BACKGROUND_RANKS.stop - BACKGROUND_RANKS.start
    return (sum(ranked) + quiet * (wanted - len(ranked))) / wanted


def hamming(one: Picture, other: Picture) -> tuple[int, int]:
    """(as they are, the least over the eight turns and mirrorings); 128 for unrelated or unreliable hashes.

    Mirroring a picture negates every second coefficient of the transform, turning it transposes the matrix as well; the
    median lies near 0, so a negated coefficient is, but for a few, a flipped bit.
    """
    if one.bits is None or other.bits is None or min(one.quality, other.quality) < LEAST_QUALITY:
        return PDQ_BITS // 2, PDQ_BITS // 2
    plain, least = PDQ_BITS, PDQ_BITS
    odd = (np.arange(16) % 2 == 0).astype(np.uint8)  # row 0 is the transform's row 1
    for base in (one.bits, one.bits.T):
        for rows in (0, 1):
            for columns in (0, 1):
                turned = base ^ (rows * odd[:, None]) ^ (columns * odd[None, :])
                distance = int((turned != other.bits).sum())
                if base is one.bits and not rows and not columns:
                    plain = distance
                least = min(least, distance)
    return plain, least


class Pair(NamedTuple):
    """All that is measured on a query and a candidate."""

    cosine: float = 0.0
    cosine_background: float = 0.0
    votes: float = 0.0
    votes_background: float = 0.0
    hamming: int = PDQ_BITS // 2
    hamming_turned: int = PDQ_BITS // 2
    points: int = 0
    """Keypoints of the picture that has fewer."""
    geometry: Agreement = NOTHING
    rivals: int = 0
    """Other contents that the query agrees with in `RIVAL_INLIERS` places or more: many, and it is a common frame."""
    rival_inliers: int = 0
    """The most places that another content agrees in."""


FEATURES: tuple[str, ...] = (
    "cosine",
    "cosine_own_rank",
    "votes",
    "votes_own_rank",
    "pdq",
    "pdq_turned",
    "inliers",
    "inlier_surplus",
    "inlier_share",
    "cells",
    "area",
    "mirrored",
    "few_points",
    "explained",
    "explained_both",
    "unexplained_inliers",
    "rivals",
    "inlier_gap",
    "coincide",
)
"""Columns of `vector`."""
NEEDS: dict[str, str] = {
    "cosine": EMBEDDING,
    "cosine_own_rank": EMBEDDING,
    "pdq": PDQ,
    "pdq_turned": PDQ,
} | {name: LOCAL for name in FEATURES if name not in {"cosine", "cosine_own_rank", "pdq", "pdq_turned"}}
"""Which schema a column rests on."""
GEOMETRY = ("inliers", "inlier_surplus", "inlier_share", "cells", "area", "mirrored", *FEATURES[-6:])
CHANCE_INLIERS = CHANCE
"""Surplus counts from here."""


RIVAL_INLIERS = 12


def with_rivals(pairs: Sequence[Pair], contents: Sequence[str]) -> list[Pair]:
    """The pairs of one query, each with what the candidates of *other* contents agree in.

    Args:
        contents: of each candidate its content ID, or a name of its own.
    """
    best: dict[str, int] = {}
    for pair, content in zip(pairs, contents, strict=True):
        best[content] = max(best.get(content, 0), pair.geometry.inliers)
    ranked = sorted(best, key=lambda content: -best[content])[:2]
    many = sum(inliers >= RIVAL_INLIERS for inliers in best.values())
    found = []
    for pair, content in zip(pairs, contents, strict=True):
        others = [best[other] for other in ranked if other != content]
        rivals = many - (best[content] >= RIVAL_INLIERS)
        found.append(pair._replace(rivals=rivals, rival_inliers=others[0] if others else 0))
    return found


def columns(pair: Pair) -> tuple[float, ...]:
    """What `FEATURES` names, in its order. Plain floats: numpy's cost would be most of a cheap pair's."""
    found = pair.geometry
    votes = math.log1p(pair.votes)
    return (
        pair.cosine,
        pair.cosine - pair.cosine_background,
        votes,
        votes - math.log1p(pair.votes_background),
        max(0.0, 1 - pair.hamming / 112),
        max(0.0, 1 - pair.hamming_turned / 100),
        math.log1p(found.inliers),
        math.log1p(max(0, found.inliers - CHANCE_INLIERS)),
        found.share,
        math.sqrt(found.cells) / 8,
        math.sqrt(found.area),
        float(found.mirrored),
        1 / math.sqrt(1 + pair.points),
        found.explained,
        found.explained_both,
        math.log1p(found.inliers) * (1 - found.explained),
        math.log1p(pair.rivals),
        math.log1p(found.inliers) - math.log1p(pair.rival_inliers),
        found.coincide,
    )


def vector(pair: Pair) -> NDArray[np.float64]:
    """float64 [19], the columns named in `FEATURES`."""
    return np.array(columns(pair))
