"""Boosted trees against the library that fits them, and against a hand-made tree."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.fit.boosting import exported
from vector_index.ranking.boosted_trees import LEAF, BoostedTrees, Tree

STEP = Tree(
    feature=(0, LEAF, 1, LEAF, LEAF),
    threshold=(0.5, 0.0, 2.0, 0.0, 0.0),
    left=(1, 1, 3, 3, 4),
    right=(2, 1, 4, 3, 4),
    value=(0.0, -1.0, 0.0, 2.0, 5.0),
)


def test_a_row_goes_left_where_it_is_at_most_the_threshold() -> None:
    trees = BoostedTrees(columns=("a", "b"), bias=0.25, trees=(STEP, STEP))
    rows = np.array([[0.5, 9.0], [0.6, 2.0], [0.6, 2.1]])
    assert trees.log_odds(rows).tolist() == [-1.75, 4.25, 10.25]


def test_no_tree_is_the_bias() -> None:
    assert BoostedTrees(columns=("a",), bias=0.0, trees=()).probabilities(np.zeros((2, 1))).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seed", [1, 2])
def test_as_the_library_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(600, 4))
    y = x[:, 0] * x[:, 1] + 0.3 * random.normal(size=600) > 0
    model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=6, random_state=seed).fit(x, y)
    trees = exported(model, ("a", "b", "c", "d"))
    shipped = msgspec.json.decode(msgspec.json.encode(trees), type=BoostedTrees)
    assert np.allclose(shipped.probabilities(x), model.predict_proba(x)[:, 1], atol=1e-4)
    assert np.ptp(shipped.probabilities(x)) > 0.5
