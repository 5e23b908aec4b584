"""From frame embeddings and key frames' local features to one calibrated probability: a logistic regression over both.

The alignment's own log odds stand for all that embeddings say; local features speak for a copy in part of the picture,
and keep apart what merely looks alike. Fitted by `benchmarks/fit/video_fusion_weights.py`.
"""

from __future__ import annotations

from math import exp, log
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from vector_index.ranking.video_keypoints import LocalMatch

FUSION_FILE = Path(__file__).parent / "data" / "video_fusion.json"
FUSED = ("aligned", "along", "along_gap", "nothing", "static", "static_motion", "moment")
CLEAREST = 12.0
"""Standard errors beyond which a clearer moment says no more."""


class FusionWeights(msgspec.Struct, frozen=True):
    """`probability = logistic(intercept + sum(weight * column))`, columns as in `FUSED`."""

    columns: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    training: dict[str, float]


def load_fusion(path: Path = FUSION_FILE) -> FusionWeights:
    """Read the weights.

    Raises:
        ValueError: they are of other columns than this code's.
    """
    weights = msgspec.json.decode(path.read_bytes(), type=FusionWeights)
    if weights.columns != FUSED or len(weights.weights) != len(FUSED):
        raise ValueError(f"{path} holds weights of {weights.columns}, this code measures {FUSED}")
    return weights


def fused_columns(aligned: float, motion: float, local: LocalMatch, rival: float) -> NDArray[np.float64]:
    """float64 [7], as in `FUSED`.

    A background that stands still agrees at all moments, so it counts against (`static`) unless what moves before it
    agrees as well: in the frames' embeddings (`static_motion`), or in the key frames' details (`moment`).

    Args:
        aligned: the probability that the alignment of frame embeddings gives.
        motion: its motion correlation, -1..1.
        local: what the key frames' keypoints say.
        rival: the highest `along` of the query with a candidate of other content; 0 for none. Where a rival fits
            better, this pair is less likely to be the copy; where none does, nothing is gained.
    """
    odds = log(max(aligned, 1e-7) / max(1 - aligned, 1e-7))
    static = max(local.query_share, local.reference_share) * local.static
    gap = min(0.0, local.along - rival)
    moment = min(local.moment, CLEAREST) / CLEAREST
    nothing = float(local.best == 0.0)
    return np.array([odds, local.along, gap, nothing, static, static * max(0.0, motion), moment], np.float64)


def fused(weights: FusionWeights, columns: NDArray[np.float64]) -> float:
    """0..1."""
    total = weights.intercept + float(np.dot(weights.weights, columns))
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, total))))
