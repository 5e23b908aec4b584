"""Fifty discrepancies to plant in a made-up system, and what each must be called."""

from __future__ import annotations

import random

from msgspec.structs import replace

from benchmarks.ledger_world import World

COUNTS = {
    "lost": 8,
    "doubled": 7,
    "swapped_content_id": 9,
    "redis_only": 7,
    "index_only": 7,
    "late": 6,
    "wrong_window": 6,
}
LATE_S = 600.0


def plant(world: World, seed: int = 1) -> dict[str, str]:
    """Plant all of them, each in a material of its own.

    Returns:
        material id -> the name that a report must give it.
    """
    rng = random.Random(seed)
    places = iter(rng.sample(range(len(world.expected)), sum(COUNTS.values())))
    told: dict[str, str] = {}
    gone: set[int] = set()
    rows_gone: set[int] = set()
    for name, count in COUNTS.items():
        for turn in range(count):
            i = next(places)
            told[world.expected[i].material_id] = name
            if name == "lost":
                _lose(i, turn, gone, rows_gone)
            else:
                _PLANTERS[name](world, i, turn)
    _remove(world, gone, rows_gone)
    return told


def _lose(i: int, turn: int, gone: set[int], rows_gone: set[int]) -> None:
    """Every second one never entered at all."""
    gone.add(i)
    rows_gone.add(2 * i + 1)
    if turn % 2:
        rows_gone.add(2 * i)


def _remove(world: World, gone: set[int], rows_gone: set[int]) -> None:
    names = {world.expected[i].material_id for i in gone}
    rows = [row for k, row in enumerate(world.rows[: 2 * len(world.expected)]) if k not in rows_gone]
    world.rows = rows + world.rows[2 * len(world.expected) :]
    world.results = [result for result in world.results if result["material_id"] not in names]
    world.index = [line for line in world.index if line.material_id not in names]
    world.redis = [line for line in world.redis if line.material_id not in names]


def _double(world: World, i: int, turn: int) -> None:
    """In results and ledger, or in one of them."""
    if turn % 3 != 1:
        world.results.append(dict(world.results[i]))
    if turn % 3 != 2:
        world.rows.append(world.rows[2 * i + 1])


def _swap(world: World, i: int, turn: int) -> None:
    """In the results, in Redis, or in results and ledger at once."""
    other = f"feed-{0xDEAD0000 + i:016x}"
    if turn % 3 != 1:
        world.results[i]["content_id"] = other
    if turn % 3 == 1:
        world.redis[i] = replace(world.redis[i], content_id=other, now=other)
    if turn % 3 == 2:
        world.rows[2 * i + 1] = replace(world.rows[2 * i + 1], content_id=other)


def _only_in_redis(world: World, i: int, _turn: int) -> None:
    world.index[i] = replace(world.index[i], material_id=f"elsewhere-{i}", latest=False, live=False)


def _only_in_index(world: World, i: int, _turn: int) -> None:
    world.redis[i] = replace(world.redis[i], outcome="rejected")


def _late(world: World, i: int, turn: int) -> None:
    row = world.rows[2 * i + 1]
    world.rows[2 * i + 1] = replace(row, at=row.entered_at + LATE_S + 1 + turn)


def _wrong_window(world: World, i: int, turn: int) -> None:
    """The outcome's row, or both rows, stand an hour off."""
    for k in (2 * i, 2 * i + 1)[turn % 2 :]:
        world.rows[k] = replace(world.rows[k], window=world.rows[k].window + 3600)


_PLANTERS = {
    "doubled": _double,
    "swapped_content_id": _swap,
    "redis_only": _only_in_redis,
    "index_only": _only_in_index,
    "late": _late,
    "wrong_window": _wrong_window,
}
