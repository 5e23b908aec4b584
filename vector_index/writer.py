"""Group commit: one thread decides, and calls that wait at the same time share one transaction and its fsync."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import structlog

from materials.errors import Overloaded, Retryable
from materials.records import AssignItem, Assignment
from vector_index.crash_points import reached
from vector_index.engine import Engine

MAX_PENDING = 4096
"""Items that may wait; beyond, callers are told to slow down."""
MAX_GROUP = 256
"""Items of one transaction, unless a single call brings more."""

logger = structlog.get_logger(__name__)
Answer = Future[list[Assignment]]


class _Call(msgspec.Struct, frozen=True):
    items: Sequence[AssignItem]
    answer: Answer


class Writer:
    """The one thread that writes to an engine.

    Args:
        on_broken: called once, in the writer's thread, when the engine cannot go on and its process must be renewed.
    """

    def __init__(self, engine: Engine, on_broken: Callable[[str], None], max_pending: int = MAX_PENDING) -> None:
        self._engine = engine
        self._on_broken = on_broken
        self._max_pending = max_pending
        self._calls: deque[_Call] = deque()
        self._pending = 0
        self._ready = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="index-writer", daemon=True)
        self._thread.start()

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
        call = _Call(items, Future())
        with self._ready:
            if self._closing:
                raise Retryable("the index service is stopping")
            if self._pending and self._pending + len(items) > self._max_pending:
                raise Overloaded(f"{self._pending} items wait in the index, at most {self._max_pending} may")
            self._calls.append(call)
            self._pending += len(items)
            self._ready.notify()
        return call.answer

    def close(self) -> None:
        """Decide what waits, then end."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join()

    def _next_group(self) -> list[_Call]:
        """Calls in order of arrival; empty when closing and nothing waits."""
        with self._ready:
            while not self._calls and not self._closing:
                self._ready.wait()
            group: list[_Call] = []
            size = 0
            while self._calls and (not group or size + len(self._calls[0].items) <= MAX_GROUP):
                call = self._calls.popleft()
                size += len(call.items)
                group.append(call)
            self._pending -= size
            return group

    def _run(self) -> None:
        while group := self._next_group():
            running = [call for call in group if call.answer.set_running_or_notify_cancel()]
            self._decide(running)
            if self._engine.broken:
                self._on_broken(self._engine.broken)
                return
            self._engine.snapshot_if_due()

    def _decide(self, calls: list[_Call]) -> None:
        try:
            answers = self._engine.assign([item for call in calls for item in call.items])
        except Exception as error:
            if len(calls) > 1:  # nothing of the group was done: one bad call must not fail its neighbours
                for call in calls:
                    self._decide([call])
            else:
                for call in calls:
                    call.answer.set_exception(error)
            return
        reached("before-answer")
        start = 0
        for call in calls:
            end = start + len(call.items)
            call.answer.set_result(answers[start:end])
            start = end
