"""Records survive the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from materials.records import KINDS, OUTCOMES, AssignItem, Assignment, Candidate, Feature
from vector_index.codec import (
    RELATIONS,
    assignment_from_wire,
    assignment_to_wire,
    candidate_from_wire,
    candidate_to_wire,
    item_from_wire,
    item_to_wire,
)
from vector_index.proto import index_pb2 as pb

number = st.floats(allow_nan=False)
revision = st.integers(0, 2**62)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
feature = st.builds(
    Feature,
    schema=text,
    dtype=st.sampled_from(["float32", "uint8"]),
    shape=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    data=st.binary(max_size=40),
)
segment = st.tuples(number, number, number, number)
candidate = st.builds(
    Candidate,
    material_id=text,
    score=number,
    relation=st.sampled_from(RELATIONS),
    recall_score=number,
    ranker=text,
    content_id=text,
    segments=st.lists(segment, max_size=3).map(tuple),
)


def items(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[AssignItem]:
    return st.builds(
        AssignItem,
        material_id=text,
        kind=st.sampled_from(KINDS),
        policy=text,
        fingerprint=st.binary(max_size=16),
        revision=revision,
        features=st.dictionaries(text, feature, max_size=3),
        text=text,
        parts=parts,
        biz=text,
        created_at=st.none() | number,
        op=st.sampled_from(["upsert", "delete"]),
    )


def assignments(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Assignment]:
    return st.builds(
        Assignment,
        material_id=text,
        kind=st.sampled_from(KINDS),
        outcome=st.sampled_from(OUTCOMES),
        content_id=text,
        revision=revision,
        matched=st.none() | candidate,
        candidates=st.lists(candidate, max_size=3).map(tuple),
        parts=parts,
        replayed=st.booleans(),
        reason=text,
    )


def nested(make: Any) -> st.SearchStrategy[Any]:
    return make(st.lists(make(st.just(())), max_size=2).map(tuple))


@given(nested(items))
def test_item_survives_the_wire(item: AssignItem) -> None:
    wire = pb.Item.FromString(item_to_wire(item).SerializeToString())
    assert item_from_wire(wire) == item


@given(nested(assignments))
def test_assignment_survives_the_wire(assignment: Assignment) -> None:
    wire = pb.Assignment.FromString(assignment_to_wire(assignment).SerializeToString())
    assert assignment_from_wire(wire) == assignment


@given(candidate)
def test_candidate_survives_the_wire(one: Candidate) -> None:
    assert candidate_from_wire(pb.Candidate.FromString(candidate_to_wire(one).SerializeToString())) == one


def test_unknown_kind_on_the_wire_is_the_callers_mistake() -> None:
    with pytest.raises(UsageError, match="kind is 'sound'"):
        item_from_wire(pb.Item(material_id="a", kind="sound", op="upsert"))
