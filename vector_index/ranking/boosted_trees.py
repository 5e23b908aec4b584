"""Gradient-boosted decision trees, evaluated: a probability for each row of measurements.

Friedman, "Greedy function approximation: a gradient boosting machine", 2001. Fitted elsewhere (`benchmarks/fit/`); what
ships is the trees themselves as JSON, so the rooms need no library that trains.
"""

from __future__ import annotations

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

LEAF = -1
"""In `feature`: the node is a leaf."""


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tree by node, the root first: a row goes `left` where its `feature` is at most `threshold`, else `right`;
    a leaf (`feature` -1, pointing to itself) adds `value` to the log odds."""

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]


class BoostedTrees(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """`probability = sigmoid(bias + the sum of the trees)`. `columns`: the measurements' names, in order."""

    columns: tuple[str, ...]
    bias: float
    trees: tuple[Tree, ...]

    @cached_property
    def _stacked(self) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp], NDArray[np.float64], int]:
        """All nodes in one row: feature, threshold, [left, right], value; and the depth of the deepest tree."""
        starts = np.cumsum([0, *(len(tree.feature) for tree in self.trees)])[:-1]
        feature = np.concatenate([tree.feature for tree in self.trees]).astype(np.intp)
        threshold = np.concatenate([tree.threshold for tree in self.trees]).astype(np.float64)
        turns = [
            np.array([tree.left, tree.right], np.intp) + start for tree, start in zip(self.trees, starts, strict=True)
        ]
        value = np.concatenate([tree.value for tree in self.trees]).astype(np.float64)
        return feature, threshold, np.concatenate(turns, axis=1), value, max(map(_depth, self.trees))

    def log_odds(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, len(columns)] -> [n]."""
        if not self.trees:
            return np.full(len(rows), self.bias)
        feature, threshold, turns, value, depth = self._stacked
        starts = np.cumsum([0, *(len(tree.feature) for tree in self.trees)])[:-1]
        at = np.broadcast_to(starts, (len(rows), len(starts)))
        each = np.arange(len(rows))[:, None]
        for _ in range(depth):
            # a leaf points to itself, so that all trees may take the same number of steps
            beyond = rows[each, np.maximum(feature[at], 0)] > threshold[at]
            at = turns[beyond.astype(np.intp), at]
        total: NDArray[np.float64] = self.bias + value[at].sum(axis=1)
        return total

    def probabilities(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, len(columns)] -> [n], 0..1."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self.log_odds(rows), -40, 40))))


def _depth(tree: Tree) -> int:
    """Steps from the root to the deepest leaf."""
    deep, reached = 0, {0}
    while any(tree.feature[node] != LEAF for node in reached):
        reached = {turn[node] for node in reached for turn in (tree.left, tree.right)}
        deep += 1
    return deep
