"""Where a new material goes: what persons said of it first, then the rule of star clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from materials.records import AssignItem, Candidate
from vector_index.clusters import Compared, choose
from vector_index.log import Log
from vector_index.policies import Policy

PERSON = "person@1"
"""The ranker of a match that a person's verdict made."""


class Placement(msgspec.Struct, frozen=True):
    """The cluster that a material joins. `exemplar`: newcomers may join through it. `matched`: why."""

    content_id: str
    exemplar: bool
    matched: Candidate


Place = Callable[[Log, AssignItem, Sequence[Compared], Policy], Placement | None]


def place(log: Log, item: AssignItem, compared: Sequence[Compared], policy: Policy) -> Placement | None:
    """The cluster that the material joins, None to found its own.

    A verdict `same` joins it to the stored members of its group whatever the scores say; a verdict `different` takes
    the clusters of those groups out of the choice.
    """
    if not log.verdicts.knows(item.policy, item.material_id):
        return _by_score(compared, policy, item)
    group = log.verdicts.group(item.policy, item.material_id)
    ours = log.clusters.places(item.policy, group - {item.material_id})
    if ours:
        partner = min(ours, key=lambda name: ours[name][1])
        content_id = ours[partner][0]
        matched = Candidate(
            material_id=partner, score=1.0, relation="same", ranker=PERSON, content_id=content_id, recall_score=0.0
        )
        return Placement(content_id, True, matched)
    theirs = log.clusters.places(item.policy, log.verdicts.kept_apart(item.policy, group))
    barred = {content_id for content_id, _ in theirs.values()}
    return _by_score([entry for entry in compared if entry.candidate.content_id not in barred], policy, item)


def _by_score(compared: Sequence[Compared], policy: Policy, item: AssignItem) -> Placement | None:
    chosen = choose(compared, policy, item.kind)
    return None if chosen is None else Placement(chosen.candidate.content_id, chosen.is_centre, chosen.candidate)
