"""Star clusters against a plain statement of their rule, and content IDs as names of their founders."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from materials.records import Candidate, Relation
from vector_index.clusters import Compared, choose, mint
from vector_index.policies import POLICIES, Policy, policy_named

PLAIN = Policy(name="feed", thresholds={"image": 0.5}, margin=0.2)


def compared(
    score: float, content_id: str, centre: bool, row: int, relation: Relation = "same", exemplar: bool = True
) -> Compared:
    candidate = Candidate(material_id=f"m{row}", score=score, content_id=content_id, relation=relation)
    return Compared(candidate, row, centre, exemplar)


entries = st.lists(
    st.builds(
        compared,
        score=st.floats(0, 1),
        content_id=st.sampled_from(["", "feed-a", "feed-b"]),
        centre=st.booleans(),
        row=st.integers(1, 1000),
        relation=st.sampled_from(["same", "related", "part_of"]),
        exemplar=st.booleans(),
    ),
    max_size=12,
)


@given(entries)
def test_choice_is_the_best_of_what_the_policy_lets_join(found: list[Compared]) -> None:
    allowed = [
        entry.candidate.score
        for entry in found
        if entry.candidate.relation == "same"
        and entry.candidate.content_id != ""
        and (entry.is_centre or entry.is_exemplar)
        and entry.candidate.score >= (0.5 if entry.is_centre else 0.7)
    ]
    chosen = choose(found, PLAIN, "image")
    assert (chosen.candidate.score if chosen else None) == (max(allowed) if allowed else None)


@given(entries, st.randoms())
def test_choice_does_not_depend_on_order(found: list[Compared], random: object) -> None:
    rows = {entry.row: entry for entry in found}
    shuffled = list(rows.values())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(shuffled, PLAIN, "image") == choose(rows.values(), PLAIN, "image")


def test_a_member_needs_the_margin_and_a_centre_does_not() -> None:
    assert choose([compared(0.6, "feed-a", False, 1)], PLAIN, "image") is None
    assert choose([compared(0.6, "feed-a", True, 1)], PLAIN, "image") is not None
    assert choose([compared(0.8, "feed-a", False, 1)], PLAIN, "image") is not None
    assert choose([compared(0.99, "feed-a", False, 1, exemplar=False)], PLAIN, "image") is None


@given(st.text(max_size=20), st.integers(0, 10**6), st.text(max_size=20), st.integers(0, 10**6))
def test_content_ids_name_their_founder(one: str, revision: int, other: str, other_revision: int) -> None:
    same = (one, revision) == (other, other_revision)
    assert (mint("feed", one, revision) == mint("feed", other, other_revision)) == same
    assert re.fullmatch("feed-[a-z2-7]{16}", mint("feed", one, revision))


def test_minting_is_pinned() -> None:
    """IDs are for ever: this must never change."""
    assert mint("feed", "m0", 0) == "feed-l3xcovyfs27iavk6"
    assert mint("feed", "m0", 0, 1) != mint("feed", "m0", 0)


def test_member_thresholds_stay_within_reach() -> None:
    for policy in POLICIES.values():
        for kind, threshold in policy.thresholds.items():
            assert threshold < policy.member_threshold(kind) < 1


def test_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        policy_named("copyrite")
    assert "copyright" in caught.value.remedy
