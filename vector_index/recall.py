"""Recall over all spaces: searches of a whole batch at once, and the earlier items of the batch beside them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from materials.records import Feature, Features
from vector_index.recall_engines.buffered_space import BufferedSpace
from vector_index.segments.settings import SegmentSettings
from vector_index.spaces.dense import DenseSpace
from vector_index.spaces.factory import make_space
from vector_index.spaces.protocol import Space
from vector_index.spaces.timed import TimedSpace

RowHits = list[tuple[int, float]]
"""(row, score), best first."""
Pairwise = Callable[[Sequence[Feature]], NDArray[np.float32]]
"""Similarity [n, n] of features that a space does not hold; spaces without it get a scratch space per batch."""


Elsewhere = Callable[[str, str], Space | None]
"""(feature key, schema) -> a new, empty space that a recall engine keeps, None for one of this process."""


def here(key: str, schema: str) -> Space | None:  # noqa: ARG001 - an `Elsewhere`
    """Every space is of this process."""
    return None


class Spaces:
    """The recall spaces by feature key. One thread publishes; any number search meanwhile.

    Args:
        home: the folder of the spaces' segments, emptied here; temporary ones without it.
        elsewhere: a new space for a key and schema that does not lie in this process, None for one that does.
    """

    def __init__(
        self,
        elsewhere: Elsewhere = here,
        home: Path | None = None,
        settings: SegmentSettings | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._home = home
        self._settings = settings
        self._spaces: dict[str, Space] = {}
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)

    def items(self) -> Iterable[tuple[str, Space]]:
        """Key and space."""
        return list(self._spaces.items())

    def get(self, key: str) -> Space | None:
        """A space that exists."""
        return self._spaces.get(key)

    def open(self, key: str, schema: str) -> Space | None:
        """The space of a feature key, made where it is missing; None for a schema that is not searched."""
        space = self._spaces.get(key)
        if space is None:
            space = self._elsewhere(key, schema)
            if space is None:
                home = None if self._home is None else self._home / quote(key, safe="@+")
                space = make_space(schema, home, self._settings)
            if space is not None:
                self._spaces[key] = space
        return space

    def admit(self) -> None:
        """Whether new rows can be taken, asked before anything is decided about them.

        Raises:
            Overloaded: too many wait for a recall engine.
            CollectionLost: a recall engine lost a space; a fresh start rebuilds it from the log.
        """
        for space in self._spaces.values():
            if isinstance(space, BufferedSpace):
                space.admit()

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until no space has anything to do in the background; False after so many seconds for one."""
        settled = True
        for space in self._spaces.values():
            if isinstance(space, DenseSpace | TimedSpace):
                settled = space.settle(timeout) and settled
        return settled

    def close(self) -> None:
        """End what runs in the background. Reads of spaces of this process stay possible."""
        for space in self._spaces.values():
            space.close()

    def scratch(self, schema: str) -> Space | None:
        """An empty space that nobody else sees."""
        return make_space(schema)

    def publish(self, removed: Sequence[int], added: Sequence[tuple[int, Features]]) -> None:
        """Forget rows and make others searchable. A row in both is replaced."""
        if removed:
            for space in self._spaces.values():
                space.remove(removed)
        by_key: dict[str, tuple[str, list[int], list[Feature]]] = {}
        for row, features in added:
            for key, feature in features.items():
                _, rows, arrays = by_key.setdefault(key, (feature.schema, [], []))
                rows.append(row)
                arrays.append(feature)
        for key, (schema, rows, arrays) in by_key.items():
            opened = self.open(key, schema)
            if opened is not None:
                opened.add(rows, arrays)


class BatchRecall:
    """What a batch's items find: stored rows, searched once for all, and the batch's own earlier items.

    Args:
        spaces: what is stored.
        features: by item, in the order in which they are decided.
        k: hits per space.
    """

    def __init__(self, spaces: Spaces, features: Sequence[Features], k: int) -> None:
        self._spaces = spaces
        self._features = features
        self._k = k
        self._stored: list[dict[str, RowHits]] = [{} for _ in features]
        self._place_of: dict[str, dict[int, int]] = {}
        self._similarity: dict[str, NDArray[np.float32]] = {}
        self._scratch: dict[str, Space] = {}
        self._placed: dict[int, int] = {}
        by_key: dict[str, list[int]] = {}
        for number, item in enumerate(features):
            for key in item:
                by_key.setdefault(key, []).append(number)
        for key, numbers in by_key.items():
            self._search(key, numbers)

    def _search(self, key: str, numbers: list[int]) -> None:
        queries = [self._features[number][key] for number in numbers]
        space = self._spaces.get(key)
        if space is not None:
            for number, hits in zip(numbers, space.search(queries, self._k), strict=True):
                self._stored[number][key] = hits
        if len(numbers) < 2:
            return
        scratch = self._spaces.scratch(queries[0].schema)
        pairwise: Pairwise | None = getattr(scratch, "pairwise", None)
        if pairwise is not None:
            self._place_of[key] = {number: place for place, number in enumerate(numbers)}
            self._similarity[key] = pairwise(queries)
        elif scratch is not None:
            self._scratch[key] = scratch

    def stored_rows(self) -> set[int]:
        """Every stored row that some item of the batch found."""
        return {row for hits in self._stored for found in hits.values() for row, _ in found}

    def place(self, number: int, row: int) -> None:
        """Item `number` is decided and has this row: later items find it."""
        self._placed[number] = row
        for key, space in self._scratch.items():
            feature = self._features[number].get(key)
            if feature is not None:
                space.add([row], [feature])

    def hits(self, number: int) -> dict[str, RowHits]:
        """By space, the best k of stored rows and earlier items; spaces without a hit are left out."""
        found: dict[str, RowHits] = {}
        for key, feature in self._features[number].items():
            hits = self._stored[number].get(key, [])
            # an earlier item's row is newer than every stored one: of equals it stands behind
            worst = hits[-1][1] if len(hits) >= self._k else -math.inf
            earlier = [hit for hit in self._earlier(key, number, feature) if hit[1] > worst]
            if earlier:
                hits = sorted([*hits, *earlier], key=lambda hit: (-hit[1], hit[0]))[: self._k]
            if hits:
                found[key] = hits
        return found

    def _earlier(self, key: str, number: int, feature: Feature) -> RowHits:
        if not self._placed:
            return []
        if key in self._similarity:
            places = self._place_of[key]
            similarity = self._similarity[key][places[number]].tolist()
            return [(row, similarity[places[other]]) for other, row in self._placed.items() if other in places]
        space = self._scratch.get(key)
        return space.search([feature], self._k)[0] if space is not None and len(space) else []
