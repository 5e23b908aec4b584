"""The index as the operators call it: concurrent materials share one `assign` call, and with it one transaction."""

from __future__ import annotations

from materials.records import AssignItem, Assignment
from vector_index.batching_client import AsyncBatchingClient
from vector_index.call_timing import CallTiming

_MAX_ITEMS = 64
_WAIT_S = 0.001


class BatchingAssigner:
    """Use it from one event loop.

    Args:
        address: the index service, `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._client = AsyncBatchingClient.at(address, max_batch=_MAX_ITEMS, wait=_WAIT_S)

    async def assign_one(self, item: AssignItem, timing: CallTiming | None = None) -> Assignment:
        """Assign one material; see `AsyncBatchingClient.assign_one` for the errors, which are this item's alone."""
        return await self._client.assign_one(item, timing)

    async def close(self) -> None:
        """Cancel what is under way and close the channel."""
        await self._client.close()
