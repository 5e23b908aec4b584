"""Revisions of one material, one after the other; different materials as they please."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class MaterialOrder:
    """First come, first served, per material id. Use it from one event loop.

    An asynchronous operator has hundreds of records under way, and the second revision of a post that is edited at once
    would else overtake the first and be undone by it. One operator sees all revisions of a material that came in one
    file or partition, in their order; no order is promised between two files.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, material_id: str) -> AsyncIterator[None]:
        """The block runs alone among the blocks of this material, in the order in which they asked."""
        lock = self._locks.setdefault(material_id, asyncio.Lock())
        self._waiting[material_id] = self._waiting.get(material_id, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[material_id] -= 1
            if not self._waiting[material_id]:
                del self._waiting[material_id], self._locks[material_id]

    def __len__(self) -> int:
        """Materials under way."""
        return len(self._locks)
