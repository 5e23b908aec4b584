"""Asks ejected servers whether they are back, so that no caller's call has to find out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from model_plugins.balancing import Guard
from model_plugins.balancing.protocol import Clock
from model_plugins.discovery.instances import Endpoint
from model_plugins.transports import Transport

_PROBE_S = 1.0
"""Seconds that a server has to answer."""


class Prober:
    """Runs only while some endpoint is ejected.

    Args:
        guard: says who is due, and hears how it went.
        clock: the guard's, which is the loop's.
        channel: endpoint -> the connection that calls use too.
    """

    def __init__(self, guard: Guard, clock: Clock, channel: Callable[[Endpoint], Transport]) -> None:
        self._guard = guard
        self._clock = clock
        self._channel = channel
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def look(self) -> None:
        """See whether a probe has become due, or will."""
        due = self._guard.next_due()
        if due == self._due or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due == math.inf else asyncio.get_running_loop().call_at(due, self._start)

    async def close(self) -> None:
        """No more probes."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self) -> None:
        self._timer, self._due = None, math.inf
        loop = asyncio.get_running_loop()
        for endpoint in self._guard.due():
            task = loop.create_task(self._probe(endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.look()

    async def _probe(self, endpoint: Endpoint) -> None:
        version = endpoint.versions[0] if len(endpoint.versions) == 1 else ""
        ready = await self._channel(endpoint).ready(endpoint.model, version, _PROBE_S)
        self._guard.probed(endpoint, ready)
        self.look()
