"""The topic of a result: by field, by function, and never one that the rule does not list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.errors import UsageError
from materials.records import Outcome
from pipeline.kafka.rules import TopicChooser, TopicRule

HERE = f"{__name__}:by_length"
BAD = f"{__name__}:fails"


def by_length(record: Mapping[str, Any], outcome: Mapping[str, Any]) -> str | None:
    if outcome["outcome"] == "rejected":
        return None
    return "long" if len(record.get("text", "")) > 10 else "anywhere-at-all"


def fails(record: Mapping[str, Any], outcome: Mapping[str, Any]) -> str | None:
    raise RuntimeError("no")


def outcome(kind: str = "unique") -> Outcome:
    return Outcome(material_id="m", revision=0, kind="post", outcome=kind, attempts=1, latency_ms=1.0, trace_id="t")  # type: ignore[arg-type]


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_without_a_rule_it_is_the_sinks_own() -> None:
    assert TopicChooser(TopicRule(), "results").topic(outcome(), line(biz="ads")) == "results"


def test_a_field_of_the_record_or_of_the_outcome_decides() -> None:
    by_biz = TopicChooser(TopicRule(field="biz", topics={"ads": "results-ads"}), "results")
    assert by_biz.topic(outcome(), line(biz="ads")) == "results-ads"
    assert by_biz.topic(outcome(), line(biz="feed")) == "results"
    by_outcome = TopicChooser(TopicRule(field="outcome", topics={"rejected": "refused"}, default="other"), "results")
    assert by_outcome.topic(outcome("rejected"), b"{broken") == "refused"
    assert by_outcome.topic(outcome(), b"{}") == "other"


@given(st.binary() | st.sampled_from([b'{"biz": {"a": 1}}', b'{"biz": null}', b"[]", b'{"biz": 3}', b"null"]))
def test_no_line_of_a_stranger_leaves_the_list(data: bytes) -> None:
    chooser = TopicChooser(TopicRule(field="biz", topics={"ads": "results-ads"}), "results")
    assert chooser.topic(outcome(), data) in {"results", "results-ads"}


def test_a_function_chooses_among_what_the_rule_lists() -> None:
    chooser = TopicChooser(TopicRule(function=HERE, allowed=("long",)), "results", (HERE,))
    assert chooser.topic(outcome(), line(text="a long text, this")) == "long"
    assert chooser.topic(outcome(), line(text="short")) == "results"
    assert chooser.topic(outcome("rejected"), line(text="a long text, this")) == "results"


def test_a_function_that_fails_costs_no_result() -> None:
    chooser = TopicChooser(TopicRule(function=BAD, allowed=("long",)), "results", (BAD,))
    assert [chooser.topic(outcome(), line(text="x")) for _ in "12"] == ["results"] * 2


def test_only_functions_that_the_spec_lists_are_loaded() -> None:
    with pytest.raises(UsageError, match="does not allow"):
        TopicChooser(TopicRule(function="os:system"), "results")
    with pytest.raises(UsageError, match="cannot be loaded"):
        TopicChooser(TopicRule(function="nowhere.at.all:f"), "results", ("nowhere.at.all:f",))


def test_every_topic_of_a_rule_is_told() -> None:
    rule = TopicRule(default="d", field="biz", topics={"a": "x", "b": "x"})
    assert rule.every_topic() == ("d", "x")
