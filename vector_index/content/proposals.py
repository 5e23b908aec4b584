"""The merge job's eyes: content IDs that are near-duplicates of each other and yet two.

They come of two writers, of a recall engine that did not see the newest rows, of a weaker ranker that decided long ago,
and of copies of copies that arrived before the copy between them. Every centre is compared anew with what recall finds
for it. Two IDs are one when their centres reach the policy's threshold, or a centre and the other's exemplar reach
threshold + margin: no looser than what lets a newcomer join.
"""

from __future__ import annotations

from collections.abc import Iterator

from vector_index.clusters import Compared
from vector_index.comparison import POST_PARTS
from vector_index.content.operations import barred_by
from vector_index.content.records import Proposal, ProposalPage
from vector_index.content.shelf import Shelf
from vector_index.near_media import near_media_of_stored
from vector_index.policies import Policy, policy_named
from vector_index.ranking.protocol import Evidence
from vector_index.recall import BatchRecall

RECALL_K = 30
MOST = 256
"""Content IDs of one page."""


def scan(shelf: Shelf, policy: str, after: int, limit: int) -> ProposalPage:
    """One page of content IDs, oldest first, each with the best of the others that it should be one with.

    Args:
        after: `ProposalPage.after` of the page before, 0 at first.
        limit: content IDs to look at, at most `MOST`.
    """
    rule = policy_named(policy, shelf.policies)
    page = shelf.log.clusters.by_age(policy, after, max(1, min(limit, MOST)))
    proposals: dict[tuple[str, str], Proposal] = {}
    for _, content_id, centre in page:
        for proposal in _for_centre(shelf, rule, content_id, centre):
            proposals.setdefault((proposal.content_id, proposal.into), proposal)
    shelf.counters["scanned_for_merges"] += len(page)
    more = len(page) == max(1, min(limit, MOST))
    return ProposalPage(proposals=list(proposals.values()), scanned=len(page), after=page[-1][0] if more else 0)


def _for_centre(shelf: Shelf, policy: Policy, content_id: str, centre: int) -> Iterator[Proposal]:
    info = shelf.log.infos([centre], policy.name).get(centre)
    if info is None:
        return
    query, compared = compare_stored(shelf, centre, policy.name)
    for entry in compared:
        other = entry.candidate.content_id
        needed = needed_for(entry, policy, query)
        if not other or other == content_id or needed is None or entry.candidate.score < needed:
            continue
        older, younger = sorted((content_id, other), key=lambda one: shelf.log.clusters.row(one).born)
        verdict = barred_by(shelf, older, younger)
        yield Proposal(
            content_id=younger,
            into=older,
            material_id=info.material_id,
            other=entry.candidate.material_id,
            score=entry.candidate.score,
            needed=needed,
            ranker=entry.candidate.ranker,
            barred=split_apart(shelf, older, younger)
            if verdict is None
            else f"{verdict.who} declared {verdict.one} and {verdict.other} different",
        )


def split_apart(shelf: Shelf, one: str, other: str) -> str:
    """That a person split one content ID off the other: the merge job does not undo it. "" where nobody did."""
    for child, parent in ((one, other), (other, one)):
        if child and parent and shelf.log.clusters.row(child).split_from == parent:
            return f"{child} was split off {parent} by a person"
    return ""


def needed_for(entry: Compared, policy: Policy, query: Evidence) -> float | None:
    """The score from which the entry's cluster is joined through it; None where it recruits nobody."""
    if entry.candidate.relation != "same" or not (entry.is_centre or entry.is_exemplar):
        return None
    return policy.centre_threshold(query.kind) if entry.is_centre else policy.member_threshold(query.kind)


def compare_stored(shelf: Shelf, row: int, policy: str) -> tuple[Evidence, list[Compared]]:
    """A stored material compared anew with what recall finds for it, best first, itself left out."""
    info = shelf.log.infos([row], policy)[row]
    stored = shelf.log.evidence(row)
    media = shelf.log.clusters.media(row, policy) if info.kind == "post" else ()
    query = Evidence(
        material_id=info.material_id,
        kind=info.kind,
        features=stored.features,
        text=stored.text,
        content_id=info.group,
        parts=media,
        near=near_media_of_stored(shelf.log, policy, info.material_id) if media else (),
    )
    recall = BatchRecall(shelf.spaces, [stored.features], RECALL_K)
    hits = recall.hits(0)
    if media:
        hits[POST_PARTS] = shelf.comparer.sharing_posts([content_id for _, content_id in media], RECALL_K)
    rows = {hit for found in hits.values() for hit, _ in found}
    infos = shelf.log.infos(rows, policy) if rows else {}
    return query, shelf.comparer.compare(query, hits, infos, policy, info.material_id)
