"""The engine against a plain oracle: random calls with restarts, seals, merges and snapshots in between."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from index_items import Vector, deletion, image, near, plain_rankers, vectors
from index_oracle import Expected, Oracle

from materials.records import KINDS, AssignItem, Assignment
from vector_index.engine import Engine
from vector_index.policies import Policy
from vector_index.segments.settings import SegmentSettings

DIM = 32
SCENES = 60
COPIES = 12
IDS_AT_ONCE = 400
"""Ids that are written to; later ones take the place of earlier ones, so that a long run does not only meet old ids."""
IDS = 2_000
"""Then the first ids come again, at higher revisions."""
POLICIES = {
    name: Policy(name=name, thresholds=dict.fromkeys(KINDS, threshold), margin=0.1)
    for name, threshold in (("feed", 0.8), ("strict", 0.85))
}
SMALL = SegmentSettings(flat_limit=120, seal_rows=48, least_sealed=48, disk_reserve=0)
NEAR = 0.01
"""A best cosine may be off by so much: among dozens of copies within 0.007 of one another, 8-bit codes may rank an
exact one below the hits that are compared exactly. Content IDs must agree all the same."""


class Sent:
    """What is sent, from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        bases = vectors(SCENES, seed=99)
        self._copies = [[near(base, 0.996, seed=copy) for copy in range(COPIES)] for base in bases]

    def item(self, step: int) -> tuple[AssignItem, int, Vector]:
        """Anything: new, again, edited, stale, in conflict, of a second policy, deleted."""
        lap, place = divmod(step // IDS_AT_ONCE * (IDS_AT_ONCE // 2), IDS)
        first = place // (IDS_AT_ONCE // 2) * (IDS_AT_ONCE // 2)
        name = f"m{first + self.chance.randrange(IDS_AT_ONCE)}"
        revision = 4 * lap + self.chance.choices([0, 1, 2, 3], [8, 4, 2, 1])[0]
        policy = self.chance.choices(["feed", "strict"], [3, 1])[0]
        scene = hash_of(name, revision if self.chance.random() < 0.9 else self.chance.randrange(9)) % SCENES
        vector = self._copies[scene][hash_of(name) % COPIES]
        if self.chance.random() < 0.15:
            return deletion(name, revision=revision, policy=policy), scene, vector
        return image(name, vector, policy=policy, revision=revision), scene, vector


def hash_of(name: str, revision: int = 0) -> int:
    return random.Random(f"{name}:{revision // 2}").randrange(10**9)


def agree(answer: Assignment, expected: Expected) -> None:
    assert (answer.outcome, answer.content_id, answer.replayed) == (
        expected.outcome,
        expected.content_id,
        expected.replayed,
    ), (answer, expected)
    if expected.best is not None and expected.best > 0.9 and not expected.replayed:
        assert answer.candidates, (answer, expected)
        assert answer.candidates[0].recall_score == pytest.approx(expected.best, abs=NEAR)


def run(folder: Path, seed: int, operations: int, restart_every: int) -> dict[str, int]:
    def opened() -> Engine:
        return Engine(folder, plain_rankers(), POLICIES, clock=lambda: 0.0, storage=SMALL, snapshot_every=500)

    sent, oracle, engine = Sent(seed), Oracle(DIM, IDS + IDS_AT_ONCE), opened()
    done = {"assigned": 0, "restarts": 0, "snapshots": 0, "searches": 0, "gets": 0}
    chance = sent.chance
    try:
        while sum(done.values()) < operations:
            batch = [sent.item(done["assigned"]) for _ in range(chance.randint(1, 24))]
            answers = engine.assign([item for item, _, _ in batch])
            for answer, (item, scene, vector) in zip(answers, batch, strict=True):
                agree(answer, oracle.assign(item, scene, vector))
            done["assigned"] += len(batch)
            item, _, vector = sent.item(done["assigned"])
            if item.op == "upsert":
                found = engine.search(image("probe", vector), k=3)
                best = oracle.best(vector)
                done["searches"] += 1
                if best > 0.9:
                    assert found[0].recall_score == pytest.approx(best, abs=NEAR)
            stored, wanted = (
                engine.get([item.material_id], item.policy)[0],
                oracle.latest(item.material_id, item.policy),
            )
            assert (stored is None) == (wanted is None)
            if stored is not None and wanted is not None:
                assert (stored.outcome, stored.content_id) == (wanted.outcome, wanted.content_id)
                if wanted.content_id:
                    assert set(engine.members(wanted.content_id)) == oracle.members(wanted.content_id)
            done["gets"] += 1
            engine.snapshot_if_due()
            if chance.random() < 0.1 / restart_every * 24:
                engine.snapshot()
                done["snapshots"] += 1
            if chance.random() < 12 / restart_every:
                engine.close(take_snapshot=chance.random() < 0.5)
                engine = opened()
                done["restarts"] += 1
            assert engine.stats().materials == oracle.live
        assert sum(engine.stats().spaces.values()) == oracle.live
    finally:
        engine.close()
    return done


def test_engine_decides_as_the_oracle_over_restarts(tmp_path: Path) -> None:
    done = run(tmp_path, seed=1, operations=800, restart_every=150)
    assert min(done.values()) > 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_engine_decides_as_the_oracle_for_a_hundred_thousand_operations(tmp_path: Path) -> None:
    done = run(tmp_path, seed=2, operations=100_000, restart_every=1_000)
    assert done["restarts"] > 20
