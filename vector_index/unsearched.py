"""Exact comparison with rows that recall did not search: decided since, or earlier items of the same batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature
from vector_index.spaces.dense import stack

RowHits = list[tuple[int, float]]


class UnsearchedRows:
    """One product for a whole batch, of which only what beats the hits already found is ever looked at.

    Args:
        numbers: the items that have this feature, in the order of their decision.
        queries: their features.
        worst: by query, the score that a row must beat.
        rows: decided before the batch, and not searched.
        features: theirs.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        queries: Sequence[Feature],
        worst: Sequence[float] | NDArray[np.float32] | NDArray[np.float64],
        rows: Sequence[int],
        features: Sequence[Feature],
    ) -> None:
        self._rows = rows
        self._numbers = numbers
        similarity = stack(queries) @ stack([*features, *queries]).T
        columns = np.arange(similarity.shape[1])
        # a column of the batch itself counts for the items behind it
        open_ = columns < len(rows) + np.arange(len(numbers))[:, None]
        better = (similarity > np.asarray(worst, np.float32)[:, None]) & open_
        self._better: dict[int, list[tuple[int, float]]] = {}
        places, found = np.nonzero(better)
        scores = similarity[places, found]
        for place, column, score in zip(places.tolist(), found.tolist(), scores.tolist(), strict=True):
            self._better.setdefault(numbers[place], []).append((column, score))

    def beats_nothing(self, number: int) -> bool:
        """Whether none of these rows can be among the item's hits."""
        return number not in self._better

    def better(self, number: int, placed: Mapping[int, int]) -> RowHits:
        """(row, score) of what beats the item's own hits, in no order. `placed`: by item of the batch, its row."""
        hits: RowHits = []
        late = len(self._rows)
        for column, score in self._better.get(number, ()):
            if column < late:
                hits.append((self._rows[column], score))
            else:
                row = placed.get(self._numbers[column - late])
                if row is not None:
                    hits.append((row, score))
        return hits
