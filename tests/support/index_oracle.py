"""The index's rules, written down a second time as plainly as can be: dictionaries and a comparison with everything.

Images of scenes that are so far apart, and whose copies are so near, that every copy joins the cluster of its scene.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from index_items import Vector
from numpy.typing import NDArray

from materials.records import AssignItem
from vector_index.clusters import mint


class Expected(NamedTuple):
    """What an answer must say. `best`: the cosine of its best candidate, None where none is promised."""

    outcome: str
    content_id: str
    replayed: bool
    best: float | None = None


class _Stored(NamedTuple):
    revision: int
    fingerprint: bytes
    scene: int
    slot: int


class Oracle:
    """Decides images one by one.

    Args:
        dim: of their vectors.
        capacity: materials that may live at once.
    """

    def __init__(self, dim: int, capacity: int) -> None:
        self._vectors: Vector = np.zeros((capacity, dim), np.float32)
        self._used: NDArray[np.bool_] = np.zeros(capacity, bool)
        self._live: dict[str, _Stored] = {}
        self._decided: dict[str, dict[tuple[str, int, bool], tuple[bytes, Expected]]] = {}
        self._cluster: dict[tuple[str, int], str] = {}
        self._members: dict[str, set[str]] = {}
        self._joined: dict[tuple[str, str], str] = {}

    @property
    def live(self) -> int:
        """Materials."""
        return len(self._live)

    def latest(self, material_id: str, policy: str) -> Expected | None:
        """What `get` answers."""
        mine = [
            (revision, deletes) for scene, revision, deletes in self._decided.get(material_id, {}) if scene == policy
        ]
        return self._decided[material_id][(policy, *max(mine))][1] if mine else None

    def members(self, content_id: str) -> set[str]:
        """Live materials under a content ID."""
        return self._members.get(content_id, set())

    def best(self, vector: Vector, besides: str = "") -> float:
        """The cosine of the nearest live material, -2 where there is none."""
        used = self._used.copy()
        if besides in self._live:
            used[self._live[besides].slot] = False
        return float((self._vectors[used] @ vector).max()) if used.any() else -2.0

    def assign(self, item: AssignItem, scene: int, vector: Vector) -> Expected:
        """One item after all before it."""
        decided = self._decided.setdefault(item.material_id, {})
        if item.op == "delete":
            return self._delete(item)
        key = (item.policy, item.revision, False)
        if key in decided:
            fingerprint, answer = decided[key]
            return answer._replace(replayed=True) if fingerprint == item.fingerprint else _REJECTED
        stored = self._live.get(item.material_id)
        if self._last_delete(item.material_id) >= item.revision or (stored and stored.revision > item.revision):
            return _REJECTED
        same = stored is not None and stored.fingerprint == item.fingerprint
        if stored is not None and stored.revision == item.revision and not same:
            return _REJECTED
        if stored is not None and not same:
            self._kill(item.material_id)
        answer = self._place(item, scene, vector, kept=same)
        decided[key] = item.fingerprint, answer
        return answer

    def _place(self, item: AssignItem, scene: int, vector: Vector, kept: bool) -> Expected:
        held = self._joined.get((item.policy, item.material_id), "") if kept else ""
        if held:
            earlier = self.latest(item.material_id, item.policy)
            if earlier is None:
                raise AssertionError("a member without a decision")
            self._live[item.material_id] = self._live[item.material_id]._replace(revision=item.revision)
            return earlier._replace(content_id=held, best=None)
        best = self.best(vector, besides=item.material_id)
        if kept:
            self._live[item.material_id] = self._live[item.material_id]._replace(revision=item.revision)
        else:
            slot = int(np.flatnonzero(~self._used)[0])
            self._vectors[slot], self._used[slot] = vector, True
            self._live[item.material_id] = _Stored(item.revision, item.fingerprint, scene, slot)
        content_id = self._cluster.get((item.policy, scene), "")
        outcome = "duplicate"
        if not self._members.get(content_id):
            outcome, content_id = "unique", mint(item.policy, item.material_id, item.revision)
            self._cluster[item.policy, scene] = content_id
            self._members[content_id] = set()
        self._members[content_id].add(item.material_id)
        self._joined[item.policy, item.material_id] = content_id
        return Expected(outcome, content_id, replayed=False, best=best)

    def _delete(self, item: AssignItem) -> Expected:
        decided = self._decided[item.material_id]
        key = (item.policy, item.revision, True)
        if key in decided:
            return decided[key][1]._replace(replayed=True)
        stored = self._live.get(item.material_id)
        if stored is not None and stored.revision > item.revision:
            return _REJECTED
        for policy in {policy for policy, _, _ in decided} | {item.policy}:
            held = self._joined.get((policy, item.material_id), "")
            told = item.fingerprint, Expected("deleted", held, replayed=False)
            decided.setdefault((policy, item.revision, True), told)
        if stored is not None:
            self._kill(item.material_id)
        return decided[key][1]

    def _last_delete(self, material_id: str) -> int:
        return max((revision for _, revision, deletes in self._decided[material_id] if deletes), default=-1)

    def _kill(self, material_id: str) -> None:
        self._used[self._live.pop(material_id).slot] = False
        for policy in {policy for policy, _, _ in self._decided[material_id]}:
            held = self._joined.pop((policy, material_id), "")
            if held:
                self._members[held].discard(material_id)


_REJECTED = Expected("rejected", "", replayed=False)
