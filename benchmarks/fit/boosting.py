"""Fit boosted trees with scikit-learn, and write them down as the rooms read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from vector_index.ranking.boosted_trees import LEAF, BoostedTrees, Tree

ROUNDS, LEAVES, LEAST_ROWS, RATE, SHRINKAGE = 100, 8, 30, 0.08, 5.0


def fit_trees(
    columns: NDArray[np.float64], same: NDArray[np.bool_], names: Sequence[str], rising: set[str], falling: set[str]
) -> BoostedTrees:
    """Small trees, few of them.

    Args:
        columns: float64 [n, len(names)].
        rising: measurements of which more never makes a copy less likely; `falling`: never more.
    """
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAST_ROWS,
        learning_rate=RATE,
        l2_regularization=SHRINKAGE,
        monotonic_cst=[(name in rising) - (name in falling) for name in names],
        early_stopping=False,
        random_state=0,
    ).fit(columns, same)
    return exported(model, tuple(names))


def exported(model: HistGradientBoostingClassifier, names: tuple[str, ...]) -> BoostedTrees:
    """The trees of a fitted binary classifier. Splits on missing values are not there: measurements are numbers."""
    trees = []
    for [predictor] in model._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes))
        trees.append(
            Tree(
                feature=tuple(np.where(leaf, LEAF, nodes["feature_idx"].astype(int)).tolist()),
                # as they are: a threshold may be a measured value itself, and rounding would turn rows the other way
                threshold=tuple(np.where(leaf, 0.0, nodes["num_threshold"]).tolist()),
                left=tuple(np.where(leaf, own, nodes["left"].astype(int)).tolist()),
                right=tuple(np.where(leaf, own, nodes["right"].astype(int)).tolist()),
                value=tuple(round(float(v), 5) for v in np.where(leaf, nodes["value"], 0.0)),
            )
        )
    return BoostedTrees(columns=names, bias=round(float(model._baseline_prediction.ravel()[0]), 5), trees=tuple(trees))
