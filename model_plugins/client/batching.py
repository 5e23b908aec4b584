"""Micro-batches that form while all slots are busy.

A batch leaves only when one of `in_flight` slots is free, and takes what has gathered meanwhile. On a busy server
batches fill by themselves, on an idle one a row waits `wait` seconds at most. Measured against batching on a timer or
in the server, this was the largest single gain of the whole job.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from materials.errors import Permanent, Retryable

T = TypeVar("T")
R = TypeVar("R")


class Slice(NamedTuple, Generic[T]):
    """Rows `start:stop` of an item."""

    item: T
    start: int
    stop: int


class _Ticket(Generic[T, R]):
    """One item on its way: rows below `sent` have left; `answers` come back in any order."""

    __slots__ = ("answers", "future", "group", "item", "missing", "rows", "sent", "since")

    def __init__(self, item: T, rows: int, group: Hashable, future: asyncio.Future[list[R]], since: float) -> None:
        self.item = item
        self.group = group
        self.rows = rows
        self.future = future
        self.since = since
        self.sent = 0
        self.missing = rows
        self.answers: list[tuple[int, R]] = []


class MicroBatcher(Generic[T, R]):
    """Gathers rows of many items into calls.

    Args:
        call: takes slices, at most `max_rows` rows in all, and returns one answer per slice, in their order.
        max_rows: the model's batch limit; a longer item is split.
        wait: seconds that a row waits for company while a slot is free.
        in_flight: calls at a time.
        on_batch: told of each batch that leaves: its rows, the seconds that its oldest row waited, the rows that stay
            queued. Must not wait or raise.

    Use it from one event loop. An item that is cancelled leaves the queue; the call that its rows are in goes on for
    the others.
    """

    def __init__(
        self,
        call: Callable[[list[Slice[T]]], Awaitable[Sequence[R]]],
        max_rows: int,
        wait: float = 0.004,
        in_flight: int = 3,
        on_batch: Callable[[int, float, int], None] | None = None,
    ) -> None:
        if max_rows < 1 or in_flight < 1:
            raise ValueError(f"max_rows and in_flight must be at least 1, not {max_rows} and {in_flight}")
        self._call = call
        self._max_rows = max_rows
        self._wait = wait
        self._free = in_flight
        self._on_batch = on_batch
        self._queue: deque[_Ticket[T, R]] = deque()
        self._rows = 0  # queued and not sent
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a slot."""
        return self._rows

    async def submit(self, item: T, rows: int, group: Hashable = None) -> list[R]:
        """The answers for the item's rows, in row order; one for each call that they went into.

        Args:
            rows: of the item.
            group: only items of equal groups share a call (rows of equal trailing shapes, say).

        Raises:
            ValueError: `rows` is below 1.
            Retryable: the batcher was closed.
            Exception: whatever a call with rows of this item raised.
        """
        if rows < 1:
            raise ValueError(f"an item needs at least one row, not {rows}")
        if self._closed:
            raise Retryable("the batcher is closed")
        loop = asyncio.get_running_loop()
        ticket: _Ticket[T, R] = _Ticket(item, rows, group, loop.create_future(), loop.time())
        self._queue.append(ticket)
        self._rows += rows
        self._schedule()
        try:
            return await ticket.future
        finally:
            self._drop(ticket)

    async def close(self) -> None:
        """Cancel the calls in flight; whoever waits gets `Retryable`. Harmless twice."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ticket in self._queue:
            _fail(ticket, Retryable("the batcher was closed"))
        self._queue.clear()
        self._rows = 0

    def _drop(self, ticket: _Ticket[T, R]) -> None:
        """Forget the rows that have not left: the item is done, failed or cancelled."""
        if not self._closed:
            self._rows -= ticket.rows - ticket.sent
        ticket.sent = ticket.rows

    def _schedule(self) -> None:
        """Send full batches while slots are free; leave a timer for the rest."""
        while self._free and self._rows >= self._max_rows:
            self._send()
        if not (self._free and self._rows):
            return
        if self._timer is None:
            loop = asyncio.get_running_loop()
            oldest = next(ticket.since for ticket in self._queue if ticket.sent < ticket.rows)
            self._timer = loop.call_at(max(oldest + self._wait, loop.time()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._free and self._rows:
            self._send()
        self._schedule()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = self._take()
        if not batch:
            return
        self._free -= 1
        if self._on_batch is not None:
            waited = asyncio.get_running_loop().time() - batch[0][0].since
            self._on_batch(sum(piece.stop - piece.start for _, piece in batch), waited, self._rows)
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _take(self) -> list[tuple[_Ticket[T, R], Slice[T]]]:
        """Up to `max_rows` rows of the group that waits longest; the others stay where they are."""
        batch: list[tuple[_Ticket[T, R], Slice[T]]] = []
        passed: list[_Ticket[T, R]] = []
        room = self._max_rows
        while room and self._queue:
            ticket = self._queue[0]
            if ticket.future.done():  # cancelled, or another of its slices failed
                self._drop(ticket)
            elif batch and ticket.group != batch[0][0].group:
                passed.append(self._queue.popleft())
                continue
            count = min(room, ticket.rows - ticket.sent)
            if count:
                batch.append((ticket, Slice(ticket.item, ticket.sent, ticket.sent + count)))
                ticket.sent += count
                room -= count
                self._rows -= count
            if ticket.sent == ticket.rows:
                self._queue.popleft()
        self._queue.extendleft(reversed(passed))
        return batch

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1
        if not self._closed:
            self._schedule()

    async def _run(self, batch: list[tuple[_Ticket[T, R], Slice[T]]]) -> None:
        try:
            await self._attempt(batch)
        except asyncio.CancelledError:
            for ticket, _ in batch:
                _fail(ticket, Retryable("the call was cancelled: the batcher was closed"))
            raise

    async def _attempt(self, batch: list[tuple[_Ticket[T, R], Slice[T]]]) -> None:
        try:
            answers = await self._call([piece for _, piece in batch])
            if len(answers) != len(batch):
                raise Permanent(f"the model call gave {len(answers)} answers for {len(batch)} slices")
        except Permanent as error:
            if len(batch) == 1:
                _fail(batch[0][0], error)
                return
            # one bad input must not condemn its neighbours: each goes alone
            for entry in batch:
                if not entry[0].future.done():
                    await self._attempt([entry])
        except Exception as error:  # handed on, to each that waits
            for ticket, _ in batch:
                _fail(ticket, error)
        else:
            for (ticket, piece), answer in zip(batch, answers, strict=True):
                _answer(ticket, piece, answer)


def _answer(ticket: _Ticket[T, R], piece: Slice[T], answer: R) -> None:
    ticket.answers.append((piece.start, answer))
    ticket.missing -= piece.stop - piece.start
    if not ticket.missing and not ticket.future.done():
        ticket.answers.sort(key=lambda each: each[0])
        ticket.future.set_result([each for _, each in ticket.answers])


def _fail(ticket: _Ticket[T, R], error: Exception) -> None:
    if not ticket.future.done():
        ticket.future.set_exception(error)
