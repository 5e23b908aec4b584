"""A bounded queue that a thread of its own empties: whoever puts something in never waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Drain(Generic[T]):
    """Hands over what has gathered, every `pause` seconds while there is something.

    Args:
        name: of the thread.
        take: called in the thread; what it raises is logged, and those items are lost.
        most: items that wait; beyond, the oldest are dropped, and counted.
    """

    def __init__(self, name: str, take: Callable[[list[T]], None], pause: float = 0.25, most: int = 20_000) -> None:
        self._take = take
        self._pause = pause
        self._items: deque[T] = deque(maxlen=most)
        self._most = most
        self._some = threading.Event()
        self._closing = threading.Event()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Never waits."""
        if len(self._items) == self._most:
            self.dropped += 1
        self._items.append(item)
        if not self._some.is_set():
            self._some.set()

    def close(self) -> None:
        """Hand over the rest, then end. Harmless twice."""
        self._closing.set()
        self._some.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._some.wait()
            self._closing.wait(self._pause)
            self._some.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        items: list[T] = []
        while self._items:
            items.append(self._items.popleft())
        if not items:
            return
        try:
            self._take(items)
        except Exception:  # a trace less is no reason to end the thread, nor the job
            _log.exception("traces were not handed over", lost=len(items))
