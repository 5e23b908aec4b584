"""Group commit: one thread decides, and calls that wait at the same time share one transaction and its fsync.

Meanwhile other threads search for the calls whose turn has not come, so that no core idles over a decision or
a disk; what is decided between a call's search and its turn is compared exactly (`late_rows`).
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import structlog

from materials.errors import Overloaded, Retryable
from materials.records import AssignItem, Assignment
from vector_index.crash_points import reached
from vector_index.engine import Engine
from vector_index.preparation import Prepared
from vector_index.segments.arrays import search_with

MAX_PENDING = 4096
"""Items that may wait; beyond, callers are told to slow down."""
AHEAD_FROM = 16
"""Items from which a call is searched ahead of its turn: for fewer, the hop between threads costs more than that."""
MAX_GROUP = 256
"""Items of one transaction, unless a single call brings more."""

logger = structlog.get_logger(__name__)


class Answer(Future[list[Assignment]]):
    """Of one call; `began`: monotonic seconds at which its turn came, 0 while it waits."""

    began = 0.0


class _Call(msgspec.Struct):
    items: Sequence[AssignItem]
    answer: Answer
    ready: bool
    prepared: Prepared | None = None


class Writer:
    """The one thread that writes to an engine, and those that search ahead for it.

    Args:
        searchers: threads that search ahead; 0: everything is searched by the writer.
        on_broken: called once, in the writer's thread, when the engine cannot go on and its process must be renewed.
    """

    def __init__(
        self,
        engine: Engine,
        on_broken: Callable[[str], None],
        max_pending: int = MAX_PENDING,
        searchers: int | None = None,
    ) -> None:
        self._engine = engine
        self._on_broken = on_broken
        self._max_pending = max_pending
        self._calls: deque[_Call] = deque()
        self._unsearched: deque[_Call] = deque()
        self._to_search = threading.Semaphore(0)
        self._pending = 0
        self._ready = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="index-writer", daemon=True)
        self._thread.start()
        count = (os.cpu_count() or 1) if searchers is None else searchers
        self._searching = 0
        self._searchers = [
            threading.Thread(target=self._search, name=f"index-search-{number}", daemon=True) for number in range(count)
        ]
        for searcher in self._searchers:
            searcher.start()

    @property
    def pending(self) -> int:
        """Items that wait."""
        return self._pending

    def submit(self, items: Sequence[AssignItem]) -> Answer:
        """Queue a call.

        Raises:
            UsageError: a malformed call.
            Overloaded: too many items wait already.
            Retryable: the writer is closing.
        """
        self._engine.check(items)
        ahead = len(items) >= AHEAD_FROM and bool(self._searchers)
        call = _Call(items, Answer(), not ahead)
        with self._ready:
            if self._closing:
                raise Retryable("the index service is stopping")
            if self._pending and self._pending + len(items) > self._max_pending:
                raise Overloaded(f"{self._pending} items wait in the index, at most {self._max_pending} may")
            self._calls.append(call)
            self._pending += len(items)
            if ahead:
                self._unsearched.append(call)
            else:
                self._ready.notify()
        if ahead:
            self._to_search.release()
        return call.answer

    def close(self) -> None:
        """Decide what waits, then end."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join()
        for _ in self._searchers:
            self._to_search.release()
        for searcher in self._searchers:
            searcher.join()

    def _search(self) -> None:
        """A searcher: one call after the other, in the order of their arrival; ends when it is woken for nothing.

        A call that is alone is searched on every core, so that it is answered sooner; of several each has one.
        """
        while True:
            self._to_search.acquire()
            with self._ready:
                if not self._unsearched:
                    return
                call = self._unsearched.popleft()
                self._searching += 1
                alone = self._searching == 1 and not self._unsearched
            search_with(len(self._searchers) if alone else 1)
            try:
                call.prepared = self._engine.prepare(call.items)
            except Exception:  # the writer does it again, and there its failure is the call's
                logger.exception("search ahead failed")
            with self._ready:
                self._searching -= 1
                call.ready = True
                self._ready.notify()

    def _next_group(self) -> list[_Call]:
        """Calls in order of arrival; empty when closing and nothing waits."""
        with self._ready:
            while not (self._calls[0].ready if self._calls else self._closing):
                self._ready.wait()
            group: list[_Call] = []
            size = 0
            while self._calls and self._calls[0].ready and (not group or size + len(self._calls[0].items) <= MAX_GROUP):
                call = self._calls.popleft()
                size += len(call.items)
                group.append(call)
            self._pending -= size
            return group

    def _run(self) -> None:
        while group := self._next_group():
            running = [call for call in group if call.answer.set_running_or_notify_cancel()]
            now = time.monotonic()
            for call in running:
                call.answer.began = now
            self._decide(running)
            for call in group:
                self._engine.forgo(call.prepared)
            if self._engine.broken:
                self._on_broken(self._engine.broken)
                return
            self._engine.snapshot_if_due()

    def _decide(self, calls: list[_Call]) -> None:
        try:
            answers = self._engine.decide([(call.items, call.prepared) for call in calls])
        except Exception as error:
            if len(calls) > 1:  # nothing of the group was done: one bad call must not fail its neighbours
                for call in calls:
                    self._decide([call])
            else:
                for call in calls:
                    call.answer.set_exception(error)
            return
        reached("before-answer")
        for call, answer in zip(calls, answers, strict=True):
            call.answer.set_result(answer)
