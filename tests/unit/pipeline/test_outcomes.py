"""The outcome record, field by field as producers and readers rely on it."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from materials.records import Assignment, Candidate, Feature, Material
from pipeline import outcomes
from pipeline.envelope import Envelope, Finished, dead_letter, pack, result_line, unpack_envelope, unpack_finished

LINE = b'{"material_id": "P1"}\xff'
ENVELOPE = Envelope(
    material_id="P1",
    kind="post",
    base="/in",
    line=LINE,
    entered_at=100.0,
    trace_id="t1",
    material=Material(material_id="P1", kind="post", text="x", revision=3),
    revision=3,
)
NEAR = Candidate(
    material_id="P0",
    score=0.98765432109,
    relation="contains",
    recall_score=0.5,
    ranker="video-alignment@1",
    content_id="feed-a",
    segments=((0.0, 1.0, 2.0, 3.0),),
)
PART = Assignment(material_id="P1/0", kind="image", outcome="unique", content_id="feed-c")
ASSIGNED = Assignment(
    material_id="P1",
    kind="post",
    outcome="duplicate",
    content_id="feed-a",
    revision=3,
    matched=NEAR,
    candidates=(NEAR,),
    parts=(PART,),
)


def test_an_assigned_material() -> None:
    features = {"text-embedding@1": Feature.of("vector", np.zeros((2, 3), np.float32))}
    record = json.loads(result_line(outcomes.assigned(ENVELOPE, ASSIGNED, features, 2, 100.25)))
    assert record == {
        "material_id": "P1",
        "revision": 3,
        "kind": "post",
        "outcome": "duplicate",
        "content_id": "feed-a",
        "matched": {
            "material_id": "P0",
            "score": 0.987654,
            "recall_score": 0.5,
            "ranker": "video-alignment@1",
            "relation": "contains",
        },
        "parts": [{"material_id": "P1/0", "outcome": "unique", "content_id": "feed-c", "matched": None}],
        "candidates": [
            {"material_id": "P0", "score": 0.987654, "relation": "contains", "segments": [[0.0, 1.0, 2.0, 3.0]]}
        ],
        "features": {
            "text-embedding@1": {
                "schema": "vector",
                "dtype": "float32",
                "shape": [2, 3],
                "redis": "sosie:feat:P1",
            }
        },
        "reason": None,
        "attempts": 2,
        "latency_ms": 250.0,
        "trace_id": "t1",
    }


def test_a_refusal_of_the_index_has_its_reason_and_no_content_id() -> None:
    refused = Assignment(material_id="P1", kind="post", outcome="rejected", reason="stale_revision: old.")
    record = outcomes.assigned(ENVELOPE, refused, {}, 1, 100.0)
    assert (record.outcome, record.content_id, record.reason) == ("rejected", None, "stale_revision: old.")


def test_a_material_that_never_reached_the_index() -> None:
    record = outcomes.ended(ENVELOPE, "dead", "retries_spent: no answer", 3, 99.0)
    assert (record.outcome, record.reason, record.attempts) == ("dead", "retries_spent: no answer", 3)
    assert (record.content_id, record.matched, record.candidates, record.parts) == (None, None, [], [])
    assert record.latency_ms == 0.0, "a clock that was set back gives no negative latency"


def test_a_dead_letter_holds_the_record_and_the_line_as_it_came() -> None:
    record = outcomes.ended(ENVELOPE, "dead", "x: y", 1, 101.0)
    letter = json.loads(dead_letter(Finished(outcome=record, line=LINE)))
    assert letter["record"] == json.loads(result_line(record))
    assert letter["line"] == '{"material_id": "P1"}\\xff'


@given(
    st.builds(
        Envelope,
        material_id=st.text(max_size=8),
        kind=st.sampled_from([None, "image", "post"]),
        base=st.text(max_size=8),
        line=st.binary(max_size=20),
        entered_at=st.floats(0, 2e9),
        trace_id=st.text(max_size=8),
        material=st.none() | st.builds(Material, material_id=st.just("A"), kind=st.just("post"), text=st.text()),
        revision=st.integers(0, 2**63 - 1),
        rejection=st.none() | st.text(max_size=8),
    )
)
def test_what_flows_between_operators_comes_out_as_it_went_in(envelope: Envelope) -> None:
    assert unpack_envelope(pack(envelope)) == envelope
    finished = Finished(outcome=outcomes.ended(envelope, "rejected", "x: y", 1, 0.0), line=envelope.line)
    assert unpack_finished(pack(finished)) == finished
