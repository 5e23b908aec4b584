"""Gathers an `Explanation` from the log, the rankers and what persons said."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from materials.errors import UsageError
from materials.records import Candidate
from vector_index.comparison import POST_PARTS
from vector_index.content.explanation import Explanation, Judged, Said, Side, State, Step
from vector_index.content.proposals import RECALL_K, split_apart
from vector_index.content.shelf import Shelf
from vector_index.log_verdicts import Verdict
from vector_index.near_media import near_media_of_stored
from vector_index.policies import policy_named
from vector_index.ranking.explanations import evidence_of_pair
from vector_index.ranking.protocol import Evidence, Recall, RecallHit
from vector_index.recall import BatchRecall

LONGEST_WAY = 32
MOST_PARTS = 16


def explain(shelf: Shelf, one: str, other: str, policy: str) -> Explanation:
    """Everything that bears on whether the two share a content ID.

    Raises:
        UsageError: an unknown policy, or one material named twice.
    """
    rule = policy_named(policy, shelf.policies)
    if one == other:
        raise UsageError(f"{one} is named twice", "name two materials")
    first, second = _side(shelf, one, policy), _side(shelf, other, policy)
    same = bool(first.content_id) and first.content_id == second.content_id
    kind = first.kind if first.kind == second.kind else None
    stored = "stored" == first.state == second.state
    judged = _judged(shelf, one, other, policy) if stored and kind is not None else None
    return Explanation(
        one=first,
        other=second,
        policy=policy,
        same=same,
        needed=rule.centre_threshold(kind) if kind is not None else 0.0,
        needed_member=rule.member_threshold(kind) if kind is not None else 0.0,
        decided=_decided(shelf, one, other, policy),
        judged=judged,
        verdicts=_verdicts(shelf, one, other, policy),
        path=_path(shelf, one, other, policy) if same else [],
        split="" if same else split_apart(shelf, first.content_id, second.content_id),
        parts=_parts(shelf, first, second, policy) if kind == "post" and stored else [],
    )


def _side(shelf: Shelf, material_id: str, policy: str) -> Side:
    log = shelf.log
    live, latest = log.live(material_id), log.latest(material_id, policy)
    history = log.histories([material_id])[material_id]
    policies = sorted({decided.policy for decided in history})
    if live is None or latest is None:
        state: State = "unknown" if not history else "deleted" if live is None else "other_policy"
        kind = history[-1].kind if history else None
        was = "" if latest is None else latest.content_id
        return Side(material_id=material_id, state=state, kind=kind, policies=policies, decided_as=was)
    place = log.clusters.places(policy, [material_id]).get(material_id)
    content_id = place[0] if place else ""
    members = log.clusters.stored_members(content_id) if content_id else []
    centre = log.clusters.row(content_id).centre if content_id else None
    media = log.clusters.media(live.row, policy) if live.kind == "post" else ()
    names = [part.material_id for part in latest.parts] or [""] * len(media)
    role: Literal["", "centre", "exemplar", "member"] = "" if not content_id else "member"
    if centre == live.row:
        role = "centre"
    elif any(member.row == live.row and member.exemplar for member in members):
        role = "exemplar"
    return Side(
        material_id=material_id,
        state="stored",
        kind=live.kind,
        revision=live.revision,
        content_id=content_id,
        decided_as=latest.content_id,
        role=role,
        size=len(members),
        age=live.row,
        text=log.evidence(live.row).text,
        media=[(name, kind, now) for name, (kind, now) in zip(names, media, strict=False)],
        policies=policies,
    )


def _judged(shelf: Shelf, one: str, other: str, policy: str) -> Judged | None:
    """The younger against the older, beside all else that recall finds for the younger: as a decision sees it."""
    log = shelf.log
    rows = sorted(live.row for name in (one, other) if (live := log.live(name)) is not None)
    if len(rows) != 2:
        return None
    reference_row, query_row = rows
    infos = log.infos(rows, policy)
    media = log.clusters.media(query_row, policy) if infos[query_row].kind == "post" else ()
    features = log.evidence(query_row).features
    hits = BatchRecall(shelf.spaces, [features], RECALL_K).hits(0)
    if media:
        hits[POST_PARTS] = shelf.comparer.sharing_posts([content_id for _, content_id in media], RECALL_K)
    infos.update(log.infos({row for found in hits.values() for row, _ in found}, policy))
    query = shelf.comparer.stored(query_row, infos[query_row], policy)
    if media:
        query = replace(query, near=near_media_of_stored(log, policy, query.material_id))
    compared = shelf.comparer.compare(query, hits, infos, policy, query.material_id)
    names = [entry.candidate.material_id for entry in compared]
    reference = shelf.comparer.stored(reference_row, infos[reference_row], policy)
    recall = Recall(
        {
            key: tuple(
                RecallHit(infos[row].material_id, infos[row].group, score)
                for row, score in found
                if row in infos and row != query_row
            )
            for key, found in hits.items()
        }
    )
    if reference.material_id in names:
        rank = names.index(reference.material_id) + 1
        candidate = compared[rank - 1].candidate
    else:
        rank, candidate = 0, shelf.comparer.pair(query, reference, recall)
    return _told(shelf, query, reference, candidate, recall, rank)


def _told(
    shelf: Shelf, query: Evidence, reference: Evidence, candidate: Candidate, recall: Recall, rank: int
) -> Judged:
    return Judged(
        query=query.material_id,
        reference=reference.material_id,
        score=candidate.score,
        relation=candidate.relation,
        ranker=candidate.ranker,
        recall_score=candidate.recall_score,
        rank=rank,
        segments=candidate.segments,
        evidence=evidence_of_pair(shelf.comparer.ranker(query.kind), query, reference, recall),
    )


def _decided(shelf: Shelf, one: str, other: str, policy: str) -> float | None:
    for name, partner in ((one, other), (other, one)):
        answer = shelf.log.latest(name, policy)
        for candidate in () if answer is None else answer.candidates:
            if candidate.material_id == partner:
                return candidate.score
    return None


def _verdicts(shelf: Shelf, one: str, other: str, policy: str) -> list[Said]:
    """What was said of the two themselves; else what keeps their groups apart or makes them one."""
    verdicts = shelf.log.verdicts
    direct = verdicts.between(policy, one, other)
    if direct is not None:
        return [_said(direct, direct=True)]
    group = verdicts.group(policy, one)
    apart = verdicts.kept_apart(policy, group).get(other)
    if apart is not None:
        return [_said(apart, direct=False)]
    if other in group:
        return [_said(v, direct=False) for v in verdicts.all(policy) if v.verdict == "same" and v.one in group]
    return []


def _said(verdict: Verdict, *, direct: bool) -> Said:
    v = verdict
    return Said(one=v.one, other=v.other, verdict=v.verdict, who=v.who, why=v.why, at=v.at, direct=direct)


def _path(shelf: Shelf, one: str, other: str, policy: str) -> list[Step]:
    """From each up to its founder; the two ways are joined where they meet, or where a merge joined their IDs."""
    up, down = _way_up(shelf, one, policy), _way_up(shelf, other, policy)
    ours, theirs = [one, *(step.other for step in up)], [other, *(step.other for step in down)]
    meeting = next((name for name in ours if name in theirs), None)
    if meeting is not None:
        return up[: ours.index(meeting)] + down[: theirs.index(meeting)][::-1]
    return up + _merges(shelf, ours[-1], theirs[-1], policy) + down[::-1]


def _way_up(shelf: Shelf, material_id: str, policy: str) -> list[Step]:
    way: list[Step] = []
    seen = {material_id}
    while len(way) < LONGEST_WAY:
        answer = shelf.log.latest(material_id, policy)
        if answer is None or answer.matched is None or answer.matched.material_id in seen:
            break
        matched = answer.matched
        verdict = shelf.log.verdicts.between(policy, material_id, matched.material_id)
        way.append(
            Step(
                material_id=material_id,
                other=matched.material_id,
                score=matched.score,
                ranker=matched.ranker,
                who="" if verdict is None or matched.ranker != "person@1" else verdict.who,
                why="" if verdict is None or matched.ranker != "person@1" else verdict.why,
            )
        )
        material_id = matched.material_id
        seen.add(material_id)
    return way


def _merges(shelf: Shelf, one: str, other: str, policy: str) -> list[Step]:
    """The merges by which what these two founded became one."""
    founded = [answer.content_id for name in (one, other) if (answer := shelf.log.latest(name, policy)) is not None]
    steps = []
    seen: set[str] = set()
    for content_id in founded:
        step: str | None = content_id
        while step is not None and step not in seen:
            seen.add(step)
            for event in shelf.log.events.of_content_id(step):
                if event.what == "merged" and event.content_id == step:
                    score = float(event.details.get("score", 1.0))
                    merged = f"{event.content_id} into {event.other}"
                    way = Step(material_id=one, other=other, score=score, who=event.who, why=event.why, merged=merged)
                    steps.append(way)
            step = shelf.log.clusters.row(step).redirect_to
    return steps


def _parts(shelf: Shelf, one: Side, other: Side, policy: str) -> list[Judged]:
    """Media of two posts, each of the one's with each of the other's of its kind; identical content IDs first."""
    pairs = [
        (mine, theirs)
        for mine, kind, _ in one.media[:MOST_PARTS]
        for theirs, other_kind, _ in other.media[:MOST_PARTS]
        if kind == other_kind and mine and theirs
    ]
    found = [judged for mine, theirs in pairs[:MOST_PARTS] if (judged := _judged(shelf, mine, theirs, policy))]
    return sorted(found, key=lambda judged: -judged.score)
