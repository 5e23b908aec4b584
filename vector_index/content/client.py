"""The client of the operations on content IDs. Errors as `IndexClient`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from vector_index.client import IndexClient
from vector_index.content.explanation import Explanation
from vector_index.content.records import Changed, History, ProposalPage
from vector_index.log_verdicts import Said
from vector_index.proto import index_pb2 as pb

T = TypeVar("T")


class ContentClient(IndexClient):
    """Blocking; safe to use from many threads. `who` decides, `why` is kept with the decision."""

    def merge(self, one: str, other: str, who: str, why: str = "", score: float | None = None) -> Changed:
        """Make two content IDs one; the older survives."""
        request = pb.MergeRequest(one=one, other=other, who=who, why=why, score=score)
        return self._told(self._stub.MergeContentIds, request, Changed)

    def split(self, content_id: str, material_ids: Sequence[str], who: str, why: str = "") -> Changed:
        """Move members into a new content ID, whose centre is the first named; at most 1,000."""
        request = pb.SplitRequest(content_id=content_id, material_ids=material_ids, who=who, why=why)
        return self._told(self._stub.SplitContentId, request, Changed)

    def judge(self, policy: str, one: str, other: str, verdict: Said, who: str, why: str = "") -> Changed:
        """Say that two materials are the same or different, for ever."""
        request = pb.JudgeRequest(policy=policy, one=one, other=other, verdict=verdict, who=who, why=why)
        return self._told(self._stub.Judge, request, Changed)

    def withdraw(self, policy: str, one: str, other: str, verdict: Said, who: str, why: str = "") -> Changed:
        """Take a verdict back; content IDs stay as they are."""
        request = pb.JudgeRequest(policy=policy, one=one, other=other, verdict=verdict, withdraw=True, who=who, why=why)
        return self._told(self._stub.Judge, request, Changed)

    def history_of_content_id(self, content_id: str) -> History:
        """What happened to a content ID."""
        return self._told(self._stub.History, pb.HistoryRequest(content_id=content_id), History)

    def history_of_material(self, material_id: str, policy: str) -> History:
        """What happened to a material under a policy."""
        return self._told(self._stub.History, pb.HistoryRequest(material_id=material_id, policy=policy), History)

    def explain(self, one: str, other: str, policy: str) -> Explanation:
        """Why two materials share a content ID, or do not."""
        return self._told(self._stub.Explain, pb.ExplainRequest(one=one, other=other, policy=policy), Explanation)

    def merge_proposals(self, policy: str, after: int = 0, limit: int = 32) -> ProposalPage:
        """A page of content IDs that the scores say are one; `after` of the page before, 0 at first."""
        request = pb.MergeProposalsRequest(policy=policy, after=after, limit=limit)
        return self._told(self._stub.MergeProposals, request, ProposalPage)

    def __enter__(self) -> ContentClient:
        return self

    def _told(self, method: Any, request: Any, answer: type[T]) -> T:
        return msgspec.json.decode(self._call(method, request).json, type=answer)
