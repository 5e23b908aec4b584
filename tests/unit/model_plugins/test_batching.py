"""The micro-batcher against a plain description of what it must do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materials.errors import Permanent, Retryable
from model_plugins.client.batching import MicroBatcher, Slice

Rows = list[int]


async def echo(slices: list[Slice[Rows]]) -> list[Rows]:
    return [piece.item[piece.start : piece.stop] for piece in slices]


class Gate:
    """A call that waits until it is let through, and keeps count."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.most = 0
        self.arrived = asyncio.Event()

    async def __call__(self, slices: list[Slice[Rows]]) -> Sequence[Rows]:
        self.batches.append(sum(piece.stop - piece.start for piece in slices))
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.arrived.set()
        self.most = max(self.most, len(self.waiting))
        try:
            await future
        finally:
            self.waiting.remove(future)
        return await echo(slices)

    def release(self, error: Exception | None = None) -> None:
        future = self.waiting[0]
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


async def turns(count: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


@given(
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=30),
    max_rows=st.integers(1, 9),
    in_flight=st.integers(1, 4),
    cancelled=st.sets(st.integers(0, 29)),
    poison=st.integers(-1, 200),
)
@settings(max_examples=80, deadline=None)
def test_each_item_gets_its_own_rows_in_order(
    sizes: list[int], max_rows: int, in_flight: int, cancelled: set[int], poison: int
) -> None:
    flying = most = 0

    async def call(slices: list[Slice[Rows]]) -> list[Rows]:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        assert 1 <= sum(piece.stop - piece.start for piece in slices) <= max_rows
        await turns(2)
        flying -= 1
        answers = await echo(slices)
        if any(poison in each for each in answers):
            raise Permanent(f"row {poison}")
        return answers

    async def go() -> None:
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(call, max_rows, wait=0.0, in_flight=in_flight)
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        items = [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
        tasks = [asyncio.create_task(batcher.submit(item, len(item))) for item in items]
        await turns(1)
        for place in cancelled:
            if place < len(tasks):
                tasks[place].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for place, (item, answer) in enumerate(zip(items, answers, strict=True)):
            if place in cancelled and isinstance(answer, asyncio.CancelledError):
                continue
            if poison in item:  # and only the poisoned item suffers
                assert isinstance(answer, Permanent)
                continue
            assert isinstance(answer, list)
            assert [row for part in answer for row in part] == item
            assert all(len(part) <= max_rows for part in answer)
        assert batcher.queued_rows == 0
        await batcher.close()

    asyncio.run(go())
    assert most <= in_flight


def test_batches_fill_while_the_slots_are_busy() -> None:
    async def go() -> None:
        gate = Gate()
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(gate, max_rows=8, wait=0.001, in_flight=2)
        tasks = [asyncio.create_task(batcher.submit([n], 1)) for n in range(16)]
        await turns()
        assert gate.batches == [8, 8]
        tasks += [asyncio.create_task(batcher.submit([n], 1)) for n in range(11)]
        await asyncio.sleep(0.01)
        assert gate.batches == [8, 8], "nothing leaves without a free slot, however long it waits"
        gate.release()
        await turns()
        assert gate.batches == [8, 8, 8], "the whole batch that has gathered leaves as soon as a slot frees"
        while not all(task.done() for task in tasks):
            if gate.waiting:
                gate.release()
            await asyncio.sleep(0.0005)
        assert gate.batches == [8, 8, 8, 3]
        assert gate.most == 2

    asyncio.run(go())


def test_a_lone_row_waits_only_so_long() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(echo, max_rows=8, wait=0.05)
        started = loop.time()
        assert await batcher.submit([7], 1) == [[7]]
        assert 0.045 <= loop.time() - started < 2

    asyncio.run(go())


def test_an_error_reaches_each_that_waits_and_frees_the_slot() -> None:
    async def go() -> None:
        gate = Gate()
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(gate, max_rows=4, wait=0.0, in_flight=1)
        tasks = [asyncio.create_task(batcher.submit([n], 1)) for n in range(3)]
        tasks.append(asyncio.create_task(batcher.submit(list(range(20)), 20)))  # its first row is in the batch, too
        await turns()
        gate.release(Retryable("down"))
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(each) for each in answers] == ["down"] * 4
        assert batcher.queued_rows == 0, "the rest of the long item is not sent"
        gate.arrived.clear()
        after = asyncio.create_task(batcher.submit([1], 1))
        await gate.arrived.wait()
        gate.release()
        assert await after == [[1]]

    asyncio.run(go())


def test_a_bad_neighbour_is_singled_out() -> None:
    calls: list[int] = []

    async def call(slices: list[Slice[Rows]]) -> list[Rows]:
        calls.append(len(slices))
        if any(13 in piece.item for piece in slices):
            raise Permanent("thirteen")
        return await echo(slices)

    async def go() -> None:
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(call, max_rows=4, wait=0.0)
        answers = await asyncio.gather(*[batcher.submit([n], 1) for n in (11, 12, 13, 14)], return_exceptions=True)
        assert [answers[0], answers[1], answers[3]] == [[[11]], [[12]], [[14]]]
        assert isinstance(answers[2], Permanent)

    asyncio.run(go())
    assert calls == [4, 1, 1, 1, 1]


def test_a_call_that_answers_too_little_is_an_error() -> None:
    async def call(slices: list[Slice[Rows]]) -> list[Rows]:
        return []

    async def go() -> None:
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(call, max_rows=4, wait=0.0)
        with pytest.raises(Permanent, match="0 answers for 1 slices"):
            await batcher.submit([1], 1)

    asyncio.run(go())


def test_closing_tells_all_that_wait() -> None:
    async def go() -> None:
        gate = Gate()
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(gate, max_rows=1, wait=0.0, in_flight=1)
        tasks = [asyncio.create_task(batcher.submit([n], 1)) for n in range(3)]
        await turns()
        await batcher.close()
        await batcher.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, Retryable) for each in answers), answers
        with pytest.raises(Retryable, match="closed"):
            await batcher.submit([1], 1)

    asyncio.run(go())


def test_wrong_use() -> None:
    async def go() -> None:
        with pytest.raises(ValueError, match="at least 1"):
            MicroBatcher(echo, max_rows=0)
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(echo, max_rows=1)
        with pytest.raises(ValueError, match="at least one row"):
            await batcher.submit([], 0)

    asyncio.run(go())


@given(groups=st.lists(st.integers(0, 3), min_size=1, max_size=40), max_rows=st.integers(1, 6))
def test_only_equal_groups_share_a_call_and_the_oldest_leaves_first(groups: list[int], max_rows: int) -> None:
    told: list[tuple[int, float, int]] = []
    first: list[int] = []

    async def call(slices: list[Slice[Rows]]) -> list[Rows]:
        assert len({piece.item[1] for piece in slices}) == 1
        first.append(slices[0].item[0])
        return await echo(slices)

    async def go() -> None:
        batcher: MicroBatcher[Rows, Rows] = MicroBatcher(
            call, max_rows, wait=0.0, in_flight=1, on_batch=lambda *batch: told.append(batch)
        )
        items = [[place, group] for place, group in enumerate(groups)]
        answers = await asyncio.gather(*[batcher.submit(item, 1, group=item[1]) for item in items])
        assert answers == [[[place]] for place in range(len(groups))]

    asyncio.run(go())
    assert first == sorted(first), "no group overtakes a row that has waited longer"
    assert sum(rows for rows, _, _ in told) == len(groups)
    assert all(waited >= 0 for _, waited, _ in told)
    assert told[-1][2] == 0
