"""The gRPC face of an engine: decode, call, encode; house errors become status codes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec.structs import replace

from materials.errors import Overloaded, UsageError
from materials.records import AssignItem, Assignment
from vector_index.call_timing import server_timing
from vector_index.codec import (
    assign_response,
    assignment_to_wire,
    candidate_to_wire,
    enrichments,
    item_from_wire,
    where_from_wire,
)
from vector_index.content.calls import ContentCalls
from vector_index.engine import Engine
from vector_index.policies import policy_named
from vector_index.proto import index_pb2 as pb
from vector_index.proto import index_pb2_grpc
from vector_index.typed_errors import typed_errors
from vector_index.validation import FINGERPRINT_BYTES
from vector_index.writer import Answer, Writer

MAX_GET = 1000
MAX_SEARCHES = 64
MAX_READS_WAITING = 128
"""Reads that may wait for a thread; beyond, callers are told to slow down."""

Response = TypeVar("Response")


def brief(assignment: Assignment) -> Assignment:
    """Without the candidates, its parts' neither."""
    return replace(assignment, candidates=(), parts=tuple([brief(part) for part in assignment.parts]))


def deletion(stored: Assignment, policy: str) -> AssignItem:
    """The request to take a stored material out, at the revision that it has."""
    return AssignItem(
        material_id=stored.material_id,
        kind=stored.kind,
        policy=policy,
        fingerprint=bytes(FINGERPRINT_BYTES),
        revision=stored.revision,
        op="delete",
    )


async def _awaited(answer: Answer) -> list[Assignment]:
    """The writer's answer, in this loop, for one hop between the threads.

    A caller that goes away, or whose deadline passes, takes its call out of the queue; one that is being decided stays,
    and its retry gets the same answer.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[list[Assignment]] = loop.create_future()

    def hand_over() -> None:
        if waiter.done():  # cancelled: nobody waits
            return
        error = answer.exception()
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(answer.result())

    def decided(_: Future[list[Assignment]]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(hand_over)

    answer.add_done_callback(decided)
    try:
        return await waiter
    except asyncio.CancelledError:
        answer.cancel()
        raise


class IndexService(ContentCalls, index_pb2_grpc.VectorIndexServicer):
    """One engine behind one writer. Reads take their turn at the engine's lock in a thread of their own."""

    def __init__(self, engine: Engine, writer: Writer, refused: Mapping[str, int] | None = None) -> None:
        self._engine = engine
        self._writer = writer
        self._refused = {} if refused is None else refused
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="index-reader")
        self._reading = 0

    @property
    def reading(self) -> int:
        """Reads that wait or are made."""
        return self._reading

    async def _read(self, call: Callable[..., Response], *arguments: Any) -> Response:
        """In a reader's thread; a call whose caller has gone before its turn is not made."""
        if self._reading >= MAX_READS_WAITING:
            raise Overloaded(f"{self._reading} reads wait in the index, at most {MAX_READS_WAITING} may")
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, call, *arguments)
        finally:
            self._reading -= 1

    @typed_errors
    async def Assign(self, request: pb.AssignRequest, context: Any) -> pb.AssignResponse:  # noqa: N802
        """Decide a batch; answered when it is durable."""
        arrived = time.monotonic()
        answer = self._writer.submit([item_from_wire(item) for item in request.items])
        decided = await _awaited(answer)
        context.set_trailing_metadata(server_timing(answer.began - arrived, time.monotonic() - answer.began))
        return assign_response(decided)

    @typed_errors
    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:  # noqa: ARG002, N802
        """Compare without storing."""
        found = await self._read(self._engine.search, item_from_wire(request.item), request.k, where_from_wire(request))
        return pb.SearchResponse(candidates=[candidate_to_wire(candidate) for candidate in found])

    @typed_errors
    async def SearchBatch(self, request: pb.SearchBatchRequest, context: Any) -> pb.SearchBatchResponse:  # noqa: N802
        """Several searches."""
        if len(request.requests) > MAX_SEARCHES:
            raise UsageError(f"{len(request.requests)} searches in one call", f"at most {MAX_SEARCHES}")
        return pb.SearchBatchResponse(responses=[await self.Search(one, context) for one in request.requests])

    @typed_errors
    async def Get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:  # noqa: ARG002, N802
        """Stored assignments in the order of the request."""
        if len(request.material_ids) > MAX_GET:
            raise UsageError(f"{len(request.material_ids)} ids in one call", f"at most {MAX_GET}")
        policy_named(request.policy, self._engine.policies)
        stored = await self._read(self._engine.located, list(request.material_ids), request.policy)
        response = pb.GetResponse()
        for assignment, content_id in stored:
            found = response.found.add(content_id=content_id)
            if assignment is not None:
                assignment_to_wire(brief(assignment) if request.brief else assignment, found.assignment)
        return response

    @typed_errors
    async def Members(self, request: pb.ContentId, context: Any) -> pb.MembersResponse:  # noqa: ARG002, N802
        """Material ids under a content ID."""
        return pb.MembersResponse(material_ids=await self._read(self._engine.members, request.content_id))

    @typed_errors
    async def MembersPage(self, request: pb.MembersPageRequest, context: Any) -> pb.MembersPageResponse:  # noqa: ARG002, N802
        """One page of members."""
        if not 1 <= request.limit <= MAX_GET:
            raise UsageError(f"limit is {request.limit}", f"1 to {MAX_GET}")
        page = await self._read(self._engine.members_page, request.content_id, request.after, request.limit)
        return pb.MembersPageResponse(
            content_id=page.content_id, material_ids=page.material_ids, next=page.next, total=page.total
        )

    @typed_errors
    async def Delete(self, request: pb.DeleteRequest, context: Any) -> pb.DeleteResponse:  # noqa: ARG002, N802
        """Take materials out; answered when it is durable."""
        ids = list(request.material_ids)
        if len(ids) > MAX_GET:
            raise UsageError(f"{len(ids)} ids in one call", f"at most {MAX_GET}")
        policy_named(request.policy, self._engine.policies)
        stored = await self._read(self._engine.get, ids, request.policy)
        known = {one.material_id: deletion(one, request.policy) for one in stored if one is not None}
        answers = await _awaited(self._writer.submit(list(known.values()))) if known else []
        decided = {one.material_id: one for one in answers}
        response = pb.DeleteResponse()
        for material_id in ids:
            found = response.found.add()
            if material_id in decided:
                assignment_to_wire(decided[material_id], found.assignment)
        return response

    @typed_errors
    async def Resolve(self, request: pb.ContentId, context: Any) -> pb.ResolveResponse:  # noqa: ARG002, N802
        """The canonical content ID."""
        return pb.ResolveResponse(content_id=await self._read(self._engine.resolve, request.content_id))

    @typed_errors
    async def Stats(self, request: pb.StatsRequest, context: Any) -> pb.StatsResponse:  # noqa: ARG002, N802
        """Counts."""
        stats = await self._read(self._engine.stats)
        return pb.StatsResponse(
            materials=stats.materials,
            content_ids=stats.content_ids,
            sequence=stats.sequence,
            snapshot_sequence=stats.snapshot_sequence,
            spaces=stats.spaces,
            counters={
                **stats.counters,
                "pending": self._writer.pending,
                **{f"refused_{reason}": count for reason, count in self._refused.items()},
            },
        )

    @typed_errors
    async def Snapshot(self, request: pb.SnapshotRequest, context: Any) -> pb.SnapshotResponse:  # noqa: ARG002, N802
        """Write a snapshot now."""
        return pb.SnapshotResponse(sequence=await self._read(self._engine.snapshot))

    @typed_errors
    async def Enrich(self, request: pb.EnrichRequest, context: Any) -> pb.EnrichResponse:  # noqa: ARG002, N802
        """Store further features; answered when it is durable."""
        added, passed_over = await self._read(self._engine.enrich, enrichments(request))
        return pb.EnrichResponse(added=added, passed_over=passed_over)

    @typed_errors
    async def Lacking(self, request: pb.LackingRequest, context: Any) -> pb.LackingResponse:  # noqa: ARG002, N802
        """One page."""
        found = await self._read(self._engine.lacking, request.has, request.lacks, request.after, request.limit)
        return pb.LackingResponse(
            materials=[
                pb.Stored(row=one.row, material_id=one.material_id, kind=one.kind, revision=one.revision)
                for one in found
            ]
        )

    def close(self) -> None:
        """End the readers."""
        self._readers.shutdown()
