"""Clients of the index service, for threads and for asyncio. Every call has one absolute deadline.

A service that restarts is waited for within the deadline; `assign` is repeated there, since it is idempotent: what was
decided before the connection broke is answered again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc

from materials.errors import Overloaded, Permanent, Retryable, SosieError, UsageError
from materials.records import AssignItem, Assignment, Candidate
from vector_index import tokens
from vector_index.call_timing import TRACEPARENT, CallTiming
from vector_index.channels import Access, TokenHolder, open_async_channel, open_channel
from vector_index.codec import (
    assign_request,
    assignment_from_wire,
    candidate_from_wire,
    enrich_request,
    item_to_wire,
    lacking_from_wire,
    search_request,
)
from vector_index.enrichment import MAX_PAGE, Enrichment, Lacking
from vector_index.gatekeeper import REMEDY_KEY, RETRY_AFTER_KEY
from vector_index.log_clusters import MembersPage
from vector_index.proto import index_pb2 as pb
from vector_index.proto import index_pb2_grpc
from vector_index.where import EVERYTHING, Where

DEADLINE = 30.0
PAUSE = 0.05
"""Seconds before a broken call is repeated."""


def typed(error: grpc.RpcError, address: str) -> SosieError:
    """A failed call as the house's error."""
    code, details = error.code(), error.details() or ""
    trailing = dict(error.trailing_metadata() or ())
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        remedy = trailing.get(REMEDY_KEY, b"")
        return UsageError(details, remedy.decode() if isinstance(remedy, bytes) else str(remedy))
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return UsageError(
            f"the index service at {address} refuses this call: {details}",
            f"name the file of its token (STATE/index/token): {tokens.ENVIRONMENT}=FILE",
        )
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        if "larger than max" in details:
            return Permanent(f"a call to the index service at {address} is too large ({details}): send fewer items")
        return Overloaded(details, float(trailing.get(RETRY_AFTER_KEY, 0.1)))
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return Retryable(
            f"the index service at {address} does not answer ({details or code.name}): "
            "`sosie status` shows its state, `sosie up` starts it"
        )
    return Permanent(f"the index service at {address} failed: {code.name} {details}")


def _broke(error: grpc.RpcError) -> bool:
    return bool(error.code() == grpc.StatusCode.UNAVAILABLE)


def _told(error: grpc.RpcError, before: grpc.RpcError | None) -> grpc.RpcError:
    """Of the last two failures of a call, the one that says more: a deadline that ran out hides why."""
    return before if before is not None and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED else error


def _stub(channel: Any) -> Any:
    make: Any = index_pb2_grpc.VectorIndexStub
    return make(channel)


def _assignments(response: pb.AssignResponse, items: Sequence[AssignItem]) -> list[Assignment]:
    answers = [assignment_from_wire(assignment) for assignment in response.assignments]
    if len(answers) != len(items):
        raise Permanent(f"the index service answered {len(answers)} of {len(items)} items")
    return answers


def _candidates(response: pb.SearchResponse) -> list[Candidate]:
    return [candidate_from_wire(candidate) for candidate in response.candidates]


def _found(response: pb.GetResponse) -> list[Assignment | None]:
    return [assignment_from_wire(one.assignment) if one.HasField("assignment") else None for one in response.found]


def _located(response: pb.GetResponse) -> list[tuple[Assignment | None, str]]:
    return list(zip(_found(response), [one.content_id for one in response.found], strict=True))


def _page(response: pb.MembersPageResponse) -> MembersPage:
    content_id = response.content_id if response.HasField("content_id") else None
    return MembersPage(content_id, list(response.material_ids), response.next, response.total)


def _searches(items: Sequence[AssignItem], k: int) -> pb.SearchBatchRequest:
    return pb.SearchBatchRequest(requests=[pb.SearchRequest(item=item_to_wire(item), k=k) for item in items])


def _resolved(response: pb.ResolveResponse) -> str | None:
    return response.content_id if response.HasField("content_id") else None


def _stats(response: pb.StatsResponse) -> dict[str, Any]:
    return {
        "materials": response.materials,
        "content_ids": response.content_ids,
        "sequence": response.sequence,
        "snapshot_sequence": response.snapshot_sequence,
        "spaces": dict(response.spaces),
        "counters": dict(response.counters),
    }


class IndexClient:
    """Blocking client; safe to use from many threads.

    Args:
        address: `host:port`.
        deadline: seconds for each call, waiting for a restarting service included.
        access: token and certificates; default: what the environment names.

    Raises (every call):
        UsageError: the call is malformed, or may not write, with the remedy.
        Overloaded: too much waits in the service: slow down.
        Retryable: it does not answer within the deadline.
        Permanent: it failed, and would again.
    """

    def __init__(self, address: str, deadline: float = DEADLINE, access: Access | None = None) -> None:
        access = access or Access.of_environment()
        self._address = address
        self._deadline = deadline
        self._token = TokenHolder(address, access)
        self._channel = open_channel(address, access)
        self._stub = _stub(self._channel)

    def assign(self, items: Sequence[AssignItem]) -> list[Assignment]:
        """Decide a batch; in the order of the items, durable."""
        return _assignments(self._call(self._stub.Assign, assign_request(items)), items)

    def search(self, item: AssignItem, k: int = 10, where: Where = EVERYTHING) -> list[Candidate]:
        """What the item would be compared with, best first, of what `where` lets through; nothing is stored."""
        return _candidates(self._call(self._stub.Search, search_request(item, k, where)))

    def get(self, material_ids: Sequence[str], policy: str) -> list[Assignment | None]:
        """Stored assignments, None where there is none; at most 1,000 ids."""
        return _found(self._call(self._stub.Get, pb.GetRequest(material_ids=material_ids, policy=policy)))

    def search_batch(self, items: Sequence[AssignItem], k: int = 10) -> list[list[Candidate]]:
        """`search` for up to 64 items in one call, in their order."""
        response = self._call(self._stub.SearchBatch, _searches(items, k))
        return [_candidates(one) for one in response.responses]

    def located(
        self, material_ids: Sequence[str], policy: str, brief: bool = False
    ) -> list[tuple[Assignment | None, str]]:
        """As `get`, each with the content ID that the material has now, after merges and splits; "" without one.
        `brief`: without candidates."""
        request = pb.GetRequest(material_ids=material_ids, policy=policy, brief=brief)
        return _located(self._call(self._stub.Get, request))

    def delete(self, material_ids: Sequence[str], policy: str) -> list[Assignment | None]:
        """Take materials out, each at the revision that it has; None for ids that are not there; at most 1,000."""
        return _found(self._call(self._stub.Delete, pb.DeleteRequest(material_ids=material_ids, policy=policy)))

    def members_page(self, content_id: str, after: int = 0, limit: int = 100) -> MembersPage:
        """A page of `members`, beginning after the row that the page before calls `next`; at most 1,000."""
        request = pb.MembersPageRequest(content_id=content_id, after=after, limit=limit)
        return _page(self._call(self._stub.MembersPage, request))

    def members(self, content_id: str) -> list[str]:
        """Material ids under a content ID, oldest first, through redirects."""
        return list(self._call(self._stub.Members, pb.ContentId(content_id=content_id)).material_ids)

    def resolve(self, content_id: str) -> str | None:
        """The canonical content ID after redirects, None for an unknown one."""
        return _resolved(self._call(self._stub.Resolve, pb.ContentId(content_id=content_id)))

    def stats(self) -> dict[str, Any]:
        """`materials`, `content_ids`, `sequence`, `snapshot_sequence`, `spaces` and `counters` by name."""
        return _stats(self._call(self._stub.Stats, pb.StatsRequest()))

    def snapshot(self) -> int:
        """Write a snapshot now; the log's sequence that it holds."""
        return int(self._call(self._stub.Snapshot, pb.SnapshotRequest()).sequence)

    def enrich(self, items: Sequence[Enrichment]) -> tuple[int, int]:
        """Store further features of stored materials; features added, and materials passed over (gone, or of another
        revision)."""
        response = self._call(self._stub.Enrich, enrich_request(items))
        return int(response.added), int(response.passed_over)

    def lacking(self, has: str, lacks: str, after: int = 0, limit: int = MAX_PAGE) -> list[Lacking]:
        """Stored materials with a feature `has` and without `lacks`, a page beginning after a row."""
        request = pb.LackingRequest(has=has, lacks=lacks, after=after, limit=limit)
        return lacking_from_wire(self._call(self._stub.Lacking, request))

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()

    def __enter__(self) -> IndexClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: Any, request: Any) -> Any:
        end = time.monotonic() + self._deadline
        before: grpc.RpcError | None = None
        while True:
            shown = self._token.metadata
            try:
                return method(
                    request,
                    timeout=max(0.001, end - time.monotonic()),
                    wait_for_ready=True,
                    metadata=shown,
                )
            except grpc.RpcError as error:
                if self._token.learn(error, shown):
                    continue
                if not _broke(error) or time.monotonic() + PAUSE >= end:
                    raise typed(_told(error, before), self._address) from error
                before = error
            time.sleep(PAUSE)


class AsyncIndexClient:
    """The same for asyncio; belongs to the loop in which its first call is made. Errors as `IndexClient`'s."""

    def __init__(self, address: str, deadline: float = DEADLINE, access: Access | None = None) -> None:
        self._address = address
        self._deadline = deadline
        self._access = access or Access.of_environment()
        self._token = TokenHolder(address, self._access)
        self._channel: Any = None
        self._stub: Any = None

    async def assign(self, items: Sequence[AssignItem], timing: CallTiming | None = None) -> list[Assignment]:
        """Decide a batch; in the order of the items, durable.

        Args:
            timing: is told when the call left and was answered, and what the service says of its own time.
        """
        return _assignments(await self._call("Assign", assign_request(items), timing), items)

    async def search(self, item: AssignItem, k: int = 10, where: Where = EVERYTHING) -> list[Candidate]:
        """What the item would be compared with, best first, of what `where` lets through; nothing is stored."""
        return _candidates(await self._call("Search", search_request(item, k, where)))

    async def get(self, material_ids: Sequence[str], policy: str) -> list[Assignment | None]:
        """Stored assignments, None where there is none; at most 1,000 ids."""
        return _found(await self._call("Get", pb.GetRequest(material_ids=material_ids, policy=policy)))

    async def search_batch(self, items: Sequence[AssignItem], k: int = 10) -> list[list[Candidate]]:
        """`search` for up to 64 items in one call, in their order."""
        response = await self._call("SearchBatch", _searches(items, k))
        return [_candidates(one) for one in response.responses]

    async def located(
        self, material_ids: Sequence[str], policy: str, brief: bool = False
    ) -> list[tuple[Assignment | None, str]]:
        """As `get`, each with the content ID that the material has now, after merges and splits; "" without one.
        `brief`: without candidates."""
        request = pb.GetRequest(material_ids=material_ids, policy=policy, brief=brief)
        return _located(await self._call("Get", request))

    async def delete(self, material_ids: Sequence[str], policy: str) -> list[Assignment | None]:
        """Take materials out, each at the revision that it has; None for ids that are not there; at most 1,000."""
        return _found(await self._call("Delete", pb.DeleteRequest(material_ids=material_ids, policy=policy)))

    async def members_page(self, content_id: str, after: int = 0, limit: int = 100) -> MembersPage:
        """A page of `members`, beginning after the row that the page before calls `next`; at most 1,000."""
        request = pb.MembersPageRequest(content_id=content_id, after=after, limit=limit)
        return _page(await self._call("MembersPage", request))

    async def members(self, content_id: str) -> list[str]:
        """Material ids under a content ID, oldest first, through redirects."""
        return list((await self._call("Members", pb.ContentId(content_id=content_id))).material_ids)

    async def resolve(self, content_id: str) -> str | None:
        """The canonical content ID after redirects, None for an unknown one."""
        return _resolved(await self._call("Resolve", pb.ContentId(content_id=content_id)))

    async def stats(self) -> dict[str, Any]:
        """As `IndexClient.stats`."""
        return _stats(await self._call("Stats", pb.StatsRequest()))

    async def snapshot(self) -> int:
        """Write a snapshot now; the log's sequence that it holds."""
        return int((await self._call("Snapshot", pb.SnapshotRequest())).sequence)

    async def close(self) -> None:
        """Give the connection back."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = self._stub = None

    async def __aenter__(self) -> AsyncIndexClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, name: str, request: Any, timing: CallTiming | None = None) -> Any:
        if self._stub is None:
            self._channel = open_async_channel(self._address, self._access)
            self._stub = _stub(self._channel)
        method = getattr(self._stub, name)
        end = time.monotonic() + self._deadline
        before: grpc.RpcError | None = None
        while True:
            shown = self._token.metadata
            traced = ((TRACEPARENT, timing.traceparent),) if timing is not None and timing.traceparent else ()
            try:
                call = method(
                    request,
                    timeout=max(0.001, end - time.monotonic()),
                    wait_for_ready=True,
                    metadata=(*shown, *traced),
                )
                response = await call
                if timing is not None:
                    timing.arrive(await call.trailing_metadata())
                return response
            except grpc.RpcError as error:
                if self._token.learn(error, shown):
                    continue
                if not _broke(error) or time.monotonic() + PAUSE >= end:
                    raise typed(_told(error, before), self._address) from error
                before = error
            await asyncio.sleep(PAUSE)
