"""The gRPC face of the operations on content IDs: a part of `IndexService`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from materials.errors import UsageError
from vector_index.content import explaining, history, operations, proposals
from vector_index.content.records import Changed
from vector_index.content.shelf import Shelf
from vector_index.proto import index_pb2 as pb
from vector_index.typed_errors import typed_errors

MOST_SPLIT = 1000
_json = msgspec.json.Encoder()


class ContentCalls:
    """Operations change the log in one transaction between two batches; questions wait for no disk."""

    _engine: Any
    _read: Any

    async def _changed(self, operation: Callable[[Shelf], Changed]) -> pb.ContentAnswer:
        return pb.ContentAnswer(json=_json.encode(await self._read(self._engine.change, operation)))

    async def _told(self, question: Callable[[Shelf], Any]) -> pb.ContentAnswer:
        return pb.ContentAnswer(json=_json.encode(await self._read(self._engine.look, question)))

    @typed_errors
    async def MergeContentIds(self, request: pb.MergeRequest, context: Any) -> pb.ContentAnswer:  # noqa: ARG002, N802
        """One of two content IDs."""
        score = request.score if request.HasField("score") else None
        return await self._changed(
            lambda shelf: operations.merge(shelf, request.one, request.other, request.who, request.why, score)
        )

    @typed_errors
    async def SplitContentId(self, request: pb.SplitRequest, context: Any) -> pb.ContentAnswer:  # noqa: ARG002, N802
        """A new content ID for some members."""
        names = list(request.material_ids)
        if len(names) > MOST_SPLIT:
            raise UsageError(f"{len(names)} materials in one split", f"at most {MOST_SPLIT}")
        return await self._changed(
            lambda shelf: operations.split(shelf, request.content_id, names, request.who, request.why)
        )

    @typed_errors
    async def Judge(self, request: pb.JudgeRequest, context: Any) -> pb.ContentAnswer:  # noqa: ARG002, N802
        """A verdict, or its withdrawal."""
        if request.verdict not in ("same", "different"):
            raise UsageError(f"the verdict is {request.verdict!r}", "one of same, different")
        verdict: Literal["same", "different"] = "same" if request.verdict == "same" else "different"
        two = (request.policy, request.one, request.other)
        if request.withdraw:
            return await self._changed(
                lambda shelf: operations.withdraw(shelf, *two, verdict, request.who, request.why)
            )
        judge = operations.link if verdict == "same" else operations.unlink
        return await self._changed(lambda shelf: judge(shelf, *two, request.who, request.why))

    @typed_errors
    async def History(self, request: pb.HistoryRequest, context: Any) -> pb.ContentAnswer:  # noqa: ARG002, N802
        """Of a content ID or a material."""
        if request.content_id:
            return await self._told(lambda shelf: history.of_content_id(shelf, request.content_id))
        return await self._told(lambda shelf: history.of_material(shelf, request.material_id, request.policy))

    @typed_errors
    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.ContentAnswer:  # noqa: ARG002, N802
        """Why two materials share a content ID, or do not."""
        return await self._told(lambda shelf: explaining.explain(shelf, request.one, request.other, request.policy))

    @typed_errors
    async def MergeProposals(self, request: pb.MergeProposalsRequest, context: Any) -> pb.ContentAnswer:  # noqa: ARG002, N802
        """One page of a scan."""
        return await self._told(lambda shelf: proposals.scan(shelf, request.policy, request.after, request.limit))
