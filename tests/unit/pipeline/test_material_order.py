"""Turns by material, against what any order of arrivals, delays and failures should give."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from pipeline.material_order import MaterialOrder

ARRIVALS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.sampled_from(("", "raises", "cancelled"))))


@given(ARRIVALS)
def test_one_at_a_time_in_order_of_arrival_whatever_fails(arrivals: list[tuple[str, int, str]]) -> None:
    began: dict[str, list[int]] = defaultdict(list)
    running: set[str] = set()
    order = MaterialOrder()

    async def block(number: int, name: str, delay: int, how: str) -> None:
        async with order.turn(name):
            assert name not in running
            running.add(name)
            began[name].append(number)
            try:
                for _ in range(delay):
                    await asyncio.sleep(0)
                if how == "raises":
                    raise ValueError(number)
            finally:
                running.discard(name)

    async def main() -> None:
        tasks = [asyncio.create_task(block(number, *arrival)) for number, arrival in enumerate(arrivals)]
        await asyncio.sleep(0)
        for task, (_, _, how) in zip(tasks, arrivals, strict=True):
            if how == "cancelled":
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert len(order) == 0
    for name, numbers in began.items():
        assert numbers == sorted(numbers)
        sure = {n for n, (each, _, how) in enumerate(arrivals) if each == name and how != "cancelled"}
        assert sure <= set(numbers)
