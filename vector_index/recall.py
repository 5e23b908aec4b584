"""Recall over all spaces: searches of a whole batch at once, and the earlier items of the batch beside them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from materials.records import Feature, Features
from vector_index.recall_engines.buffered_space import BufferedSpace
from vector_index.segments.arrays import Matrix, Rows
from vector_index.segments.settings import SegmentSettings
from vector_index.spaces.dense import DenseSpace
from vector_index.spaces.factory import make_space
from vector_index.spaces.protocol import Space
from vector_index.spaces.timed import TimedSpace
from vector_index.unsearched import UnsearchedRows

RowHits = list[tuple[int, float]]
"""(row, score), best first."""


PRECISE = 12
"""Hits whose cosine is exact (to half precision): what may be joined or reported is among the first few, and the others
are there for the background."""
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
        self._published = 0
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)

    @property
    def published(self) -> int:
        """Rows that were ever added here: what `publish` answered last."""
        return self._published

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

    def publish(self, removed: Sequence[int], added: Sequence[tuple[int, Features]]) -> int:
        """Forget rows and make others searchable. A row in both is replaced.

        Returns:
            Rows that were ever added here.
        """
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
        self._published += len(added)
        return self._published


class Found:
    """What one search of a space found. `scores`, `rows`: [n, k'], best first, -1 for no row; `numbers`: the items."""

    def __init__(self, numbers: Sequence[int], scores: Matrix, rows: Rows) -> None:
        self.numbers = numbers
        self.scores = scores
        self.rows = rows
        self._place = {number: place for place, number in enumerate(numbers)}

    @classmethod
    def of_lists(cls, numbers: Sequence[int], hits: Sequence[RowHits]) -> Found:
        """From lists of hits."""
        width = max(map(len, hits), default=0)
        scores, rows = np.full((len(hits), width), -np.inf), np.full((len(hits), width), -1, np.int64)
        for place, found in enumerate(hits):
            if found:
                rows[place, : len(found)], scores[place, : len(found)] = zip(*found, strict=True)
        return cls(numbers, scores, rows)

    def place(self, number: int) -> int:
        """The item's line in the arrays."""
        return self._place[number]

    def hits(self, number: int) -> RowHits:
        """One item's, best first."""
        place = self._place.get(number)
        if place is None:
            return []
        found = zip(self.rows[place].tolist(), self.scores[place].tolist(), strict=True)
        return [hit for hit in found if hit[0] >= 0]

    def worst(self, k: int) -> Matrix:
        """By item, the score that a further row must beat: of equals it stands behind, since it is newer."""
        if self.rows.shape[1] < k:
            return np.full(len(self.rows), -np.inf)
        return np.where(self.rows[:, k - 1] >= 0, self.scores[:, k - 1], -np.inf)


class BatchRecall:
    """What a batch's items find: stored rows, searched once for all, and the batch's own earlier items.

    It may be made in any thread, ahead of the decision: rows that were decided since are told by `catch_up`.

    Args:
        spaces: what is stored.
        features: by item, in the order in which they are decided.
        k: hits per space.
    """

    def __init__(self, spaces: Spaces, features: Sequence[Features], k: int) -> None:
        self._spaces = spaces
        self._features = features
        self._k = k
        self._found: dict[str, Found] = {}
        self._numbers: dict[str, list[int]] = {}
        self._unsearched: dict[str, UnsearchedRows] = {}
        self._scratch: dict[str, Space] = {}
        self._placed: dict[int, int] = {}
        for number, item in enumerate(features):
            for key in item:
                self._numbers.setdefault(key, []).append(number)
        self.mark = spaces.published
        """Rows that were published for sure before the search; of later ones it may have seen some."""
        for key, numbers in self._numbers.items():
            space = spaces.get(key)
            if space is not None:
                queries = [features[number][key] for number in numbers]
                if isinstance(space, DenseSpace):
                    self._found[key] = Found(numbers, *space.nearest(queries, k, PRECISE))
                else:
                    self._found[key] = Found.of_lists(numbers, space.search(queries, k))

    def catch_up(self, rows: Sequence[int] = (), features: Sequence[Features] = ()) -> None:
        """Before the first decision, once. `rows`: those that the spaces did not hold when they were searched."""
        for key, numbers in self._numbers.items():
            late = [place for place, one in enumerate(features) if key in one]
            if len(numbers) < 2 and not late:
                continue
            queries = [self._features[number][key] for number in numbers]
            if queries[0].schema == "vector":
                found = self._found.get(key)
                worst = np.full(len(numbers), -math.inf) if found is None else found.worst(self._k)
                others = [features[place][key] for place in late]
                rest = [rows[place] for place in late]
                self._unsearched[key] = UnsearchedRows(numbers, queries, worst, rest, others)
                continue
            scratch = self._spaces.scratch(queries[0].schema)
            if scratch is not None:
                self._scratch[key] = scratch
                if late:
                    scratch.add([rows[place] for place in late], [features[place][key] for place in late])

    def _worst(self, hits: RowHits) -> float:
        """The score that a further row must beat: of equals it stands behind, since it is newer."""
        return hits[-1][1] if len(hits) >= self._k else -math.inf

    def stored_rows(self) -> set[int]:
        """The stored rows that items of the batch found."""
        rows: set[int] = set()
        for found in self._found.values():
            rows.update(found.rows[found.rows >= 0].tolist())
        return rows

    def searched(self, key: str) -> Found | None:
        """What the space's search found for the batch, without its own items and without rows decided since."""
        return self._found.get(key)

    def only_searched(self, key: str, number: int) -> bool:
        """Whether nothing of the batch and nothing decided since is among the item's hits in that space."""
        unsearched = self._unsearched.get(key)
        return unsearched.beats_nothing(number) if unsearched is not None else key not in self._scratch

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
            stored = self._found.get(key)
            hits = [] if stored is None else stored.hits(number)
            earlier = self._earlier(key, number, feature, self._worst(hits))
            if earlier:
                known = {row for row, _ in hits}
                hits = [*hits, *(hit for hit in earlier if hit[0] not in known)]
                hits = sorted(hits, key=_best_then_oldest)[: self._k]
            if hits:
                found[key] = hits
        return found

    def _earlier(self, key: str, number: int, feature: Feature, worst: float) -> RowHits:
        unsearched = self._unsearched.get(key)
        if unsearched is not None:
            return unsearched.better(number, self._placed)
        space = self._scratch.get(key)
        if space is None or not len(space):
            return []
        return [hit for hit in space.search([feature], self._k)[0] if hit[1] > worst]


def _best_then_oldest(hit: tuple[int, float]) -> tuple[float, int]:
    return -hit[1], hit[0]
