"""A second attempt beside one that takes long (Dean and Barroso, "The Tail at Scale", 2013)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


async def hedged(first: Coroutine[Any, Any, R], after: float, second: Callable[[], Coroutine[Any, Any, R] | None]) -> R:
    """The first answer of two attempts; the other is cancelled, and has ended when this returns.

    Args:
        after: seconds from when on `second` is asked for another attempt; None from it means that there is none.

    Raises:
        Exception: of the attempt that failed last.
    """
    tasks = [asyncio.create_task(first)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=after)
        other = None if done else second()
        if other is not None:
            tasks.append(asyncio.create_task(other))
        waiting = set(tasks)
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None or not waiting:
                    return task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
