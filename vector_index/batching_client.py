"""Clients that batch by themselves: single assigns of many coroutines or threads share calls, and with them commits.

A gRPC call of one item costs almost what a call of 32 costs, and a commit the same for both. So a call leaves at once
while none is under way, and takes all that has gathered meanwhile when one returns (the "smart batching" of LMAX, and
of group commit): an idle service answers without delay, a busy one gets full batches. Nothing waits on a timer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog

from materials.errors import Permanent, Retryable, SosieError, UsageError
from materials.records import AssignItem, Assignment
from vector_index.call_timing import CallTiming
from vector_index.channels import Access
from vector_index.client import DEADLINE, AsyncIndexClient, IndexClient

MAX_BATCH = 256
IN_FLIGHT = 2
"""Calls under way: the service decides one while the next is on its way."""

logger = structlog.get_logger(__name__)
Ticket = tuple[AssignItem, Any]


class AsyncBatchingClient:
    """For one event loop: `assign_one` from any number of coroutines.

    Items enter the service in the order in which they were given, while `in_flight` is 1; with more, two calls may
    overtake each other. Each item gets its own answer or its own error: one that the service refuses spares its
    neighbours.

    Args:
        client: makes the calls; closed with this one.
        max_batch: items of one call.
        in_flight: calls at a time.
        wait: seconds that an item waits for company while a call could leave; 0: what is given in one turn of the loop.
    """

    def __init__(
        self, client: AsyncIndexClient, max_batch: int = MAX_BATCH, in_flight: int = IN_FLIGHT, wait: float = 0.0
    ) -> None:
        if max_batch < 1 or in_flight < 1:
            raise ValueError(f"max_batch and in_flight must be at least 1, not {max_batch} and {in_flight}")
        self._client = client
        self._max_batch = max_batch
        self._free = in_flight
        self._wait = wait
        self._queue: deque[Ticket] = deque()
        self._timings: dict[Any, CallTiming] = {}  # by the future of whoever wants to know
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    def at(
        cls, address: str, max_batch: int = MAX_BATCH, wait: float = 0.0, access: Access | None = None
    ) -> AsyncBatchingClient:
        """With a client of its own."""
        return cls(AsyncIndexClient(address, access=access), max_batch, wait=wait)

    async def assign_one(self, item: AssignItem, timing: CallTiming | None = None) -> Assignment:
        """Decide one item; durable. Cancelled before it left, it is not sent.

        Args:
            timing: is filled in; of several calls, because the service broke one or refused a neighbour, with the last.

        Raises:
            SosieError: as `IndexClient`'s calls, for this item alone.
        """
        if self._closed:
            raise Retryable("the index client is closed")
        future: asyncio.Future[Assignment] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._free:
            # with 0, after the coroutines that are ready now: what is given in one turn of the loop leaves together
            wait = 0.0 if len(self._queue) >= self._max_batch else self._wait
            asyncio.get_running_loop().call_later(wait, self._send)
        if timing is None:
            return await future
        timing.asked = time.time_ns()
        self._timings[future] = timing
        try:
            return await future
        finally:
            del self._timings[future]

    async def close(self) -> None:
        """Cancel what is under way and close the client; whoever waits gets `Retryable`."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, future in self._queue:
            _refuse(future, Retryable("the index client was closed"))
        self._queue.clear()
        await self._client.close()

    async def __aenter__(self) -> AsyncBatchingClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _send(self) -> None:
        while self._free and not self._closed:
            batch = _take(self._queue, self._max_batch, lambda ticket: not ticket[1].done())
            if not batch:
                return
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._call(batch))
            self._tasks.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1
        self._send()

    async def _call(self, batch: list[Ticket]) -> None:
        try:
            await _each_answered(batch, self._assign)
        except asyncio.CancelledError:
            for _, future in batch:
                _refuse(future, Retryable("the index client was closed"))
            raise

    async def _assign(self, batch: Sequence[Ticket]) -> list[Assignment]:
        items = [item for item, _ in batch]
        timings = [timing for _, future in batch if (timing := self._timings.get(future)) is not None]
        if not timings:
            return await self._client.assign(items)
        # one call carries many materials, and one traceparent: the first's stands for all
        call = CallTiming(traceparent=timings[0].traceparent)
        for timing in timings:
            timing.leave(len(items))
        try:
            return await self._client.assign(items, call)
        finally:
            for timing in timings:
                timing.answered, timing.waited_ms, timing.decided_ms = call.answered, call.waited_ms, call.decided_ms


class BatchingClient:
    """The same for threads: `assign_one` from any of them, or `submit` for a future.

    Args:
        address, deadline, access: as `IndexClient`'s.
        max_batch, in_flight: as `AsyncBatchingClient`'s.
    """

    def __init__(
        self,
        address: str,
        deadline: float = DEADLINE,
        access: Access | None = None,
        max_batch: int = MAX_BATCH,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        if max_batch < 1 or in_flight < 1:
            raise ValueError(f"max_batch and in_flight must be at least 1, not {max_batch} and {in_flight}")
        self._client = IndexClient(address, deadline, access)
        self._max_batch = max_batch
        self._queue: deque[Ticket] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._senders = ThreadPoolExecutor(in_flight, "index-sender")
        for _ in range(in_flight):
            self._senders.submit(self._run)

    def submit(self, item: AssignItem) -> Future[Assignment]:
        """Give one item away; its answer comes with the future, which may be cancelled until the item has left."""
        future: Future[Assignment] = Future()
        with self._ready:
            if self._closed:
                raise Retryable("the index client is closed")
            self._queue.append((item, future))
            self._ready.notify()
        return future

    def assign_one(self, item: AssignItem) -> Assignment:
        """Decide one item; durable.

        Raises:
            SosieError: as `IndexClient`'s calls, for this item alone.
        """
        return self.submit(item).result()

    def close(self) -> None:
        """Send what waits, then end."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        self._senders.shutdown()
        self._client.close()

    def __enter__(self) -> BatchingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._closed:
                    self._ready.wait()
                batch = _take(self._queue, self._max_batch, lambda ticket: ticket[1].set_running_or_notify_cancel())
                if not batch and self._closed and not self._queue:
                    return
            if batch:
                self._call(batch)

    def _call(self, batch: list[Ticket]) -> None:
        try:
            answers = self._client.assign([item for item, _ in batch])
        except (UsageError, Permanent) as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for ticket in batch:
                self._call([ticket])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)


Assign = Callable[[Sequence[Ticket]], Awaitable[list[Assignment]]]


async def _each_answered(batch: list[Ticket], assign: Assign) -> None:
    """Send a batch; where it is refused as a whole, each item alone: one bad item must not condemn its neighbours."""
    try:
        answers = await assign(batch)
    except (UsageError, Permanent) as error:
        if len(batch) == 1:
            _refuse(batch[0][1], error)
            return
        for ticket in batch:
            if not ticket[1].done():
                await _each_answered([ticket], assign)
    except SosieError as error:
        for _, future in batch:
            _refuse(future, error)
    except Exception as error:
        logger.exception("a call of the index client failed")
        for _, future in batch:
            _refuse(future, Permanent(f"the call failed: {type(error).__name__}: {error}"))
    else:
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def _take(queue: deque[Ticket], most: int, wanted: Callable[[Ticket], bool]) -> list[Ticket]:
    """Tickets in their order, those left out that nobody waits for any longer."""
    batch: list[Ticket] = []
    while queue and len(batch) < most:
        ticket = queue.popleft()
        if wanted(ticket):
            batch.append(ticket)
    return batch


def _refuse(future: asyncio.Future[Assignment], error: SosieError) -> None:
    if not future.done():
        future.set_exception(error)
