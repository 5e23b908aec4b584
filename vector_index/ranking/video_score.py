"""From an alignment to a calibrated probability: logistic regression over a few measurements, weights as JSON."""

from __future__ import annotations

from math import exp, tanh
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from vector_index.ranking.video_alignment import Alignment

WEIGHTS_FILE = Path(__file__).parent / "data" / "video.json"
FEATURES = (
    "similarity",
    "best_similarity",
    "cosine",
    "motion",
    "best_motion",
    "wider_cover",
    "narrower_cover",
    "similarity_gap",
    "motion_gap",
    "moving",
    "short",
)
SIGNED = ("moving", "short")
"""Features that may speak for or against a copy. All others only ever speak for one (their weights are not negative),
so that a better fit never scores less."""
STEEP = 4.0
"""Similarities and motions saturate: beyond about 0.5 more of them says little."""
STILL = 0.02
"""Energy of a clip that hardly moves: below it a motion correlation is mostly noise."""


class VideoWeights(msgspec.Struct, frozen=True):
    """`probability = logistic(intercept + sum(coefficient * (feature - mean) / scale))`.

    `background`: the cosine of unrelated frames, assumed where no other candidate is at hand. `training`: figures of
    the fit, for people.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    background: float
    training: dict[str, float | int | str | dict[str, float]]


def load_weights(path: Path = WEIGHTS_FILE) -> VideoWeights:
    """Read the weights.

    Raises:
        ValueError: they are of other features than this code's.
    """
    weights = msgspec.json.decode(path.read_bytes(), type=VideoWeights)
    if weights.features != FEATURES or {len(weights.mean), len(weights.scale), len(weights.coefficients)} != {
        len(FEATURES)
    }:
        raise ValueError(f"{path} holds weights of {weights.features}, this code measures {FEATURES}")
    return weights


def measurements(alignment: Alignment, rival_similarity: float, rival_motion: float) -> NDArray[np.float64]:
    """The features of one pair, in the order of `FEATURES`.

    Args:
        alignment: the pair.
        rival_similarity: the highest `best_similarity` of the query with a candidate of *other* content; -1 for none.
            Where a rival fits better, this pair is less likely to be the copy; where none does, nothing is gained.
        rival_motion: the same of `best_motion`.
    """
    a = alignment
    return np.array(
        [
            tanh(STEEP * max(0.0, a.similarity)),
            tanh(STEEP * max(0.0, a.best_similarity)),
            a.cosine,
            tanh(STEEP * max(0.0, a.motion)),
            tanh(STEEP * max(0.0, a.best_motion)),
            max(a.query_cover, a.reference_cover),
            min(a.query_cover, a.reference_cover),
            tanh(STEEP * min(0.0, a.best_similarity - rival_similarity)),
            tanh(STEEP * min(0.0, a.best_motion - rival_motion)),
            a.energy / (a.energy + STILL),
            1.0 / max(1, a.overlap),
        ]
    )


def probability(weights: VideoWeights, features: NDArray[np.float64]) -> float:
    """In 0..1, strictly between for finite features."""
    standard = (features - np.array(weights.mean)) / np.array(weights.scale)
    logit = weights.intercept + float(np.dot(weights.coefficients, standard))
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, logit))))
