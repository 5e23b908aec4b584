"""Rows of a topic to lines with an origin, and outcomes to records with a key and a topic."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.records import Feature, Outcome
from pipeline.envelope import Finished, pack, unpack_finished
from pipeline.flink.kafka_offsets import between
from pipeline.kafka.routing import KafkaRouting
from pipeline.kafka.settings import KafkaSink, KafkaSource
from pipeline.origins import NOWHERE, KafkaOrigins

TRACE = "0af7651916cd43dd8448eb211c80319c"
OFFSETS = st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.integers(0, 3), st.integers(0, 50)))


def read(value: Any, traceparent: bytes | None = None, key: bytes | None = None, base: str = "") -> Any:
    source = KafkaSource(kind="kafka", topics=("posts",), base=base)
    return KafkaOrigins(source).read((value, "posts", 1, 42, traceparent, key))


def outcome(kind: str) -> Outcome:
    return Outcome(material_id="m1", revision=2, kind="post", outcome=kind, attempts=1, latency_ms=1.0, trace_id=TRACE)  # type: ignore[arg-type]


def test_a_row_gives_its_line_and_where_it_came_from() -> None:
    line, origin = read(bytearray(b"{}"), f"00-{TRACE}-b7ad6b7169203331-01".encode(), b"k", base="/in")
    assert line == b"{}"
    assert (origin.source, origin.partition, origin.offset, origin.base, origin.key) == ("posts", 1, 42, "/in", "k")
    assert origin.traceparent == f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize("value", [None, b"", b"  "])
def test_every_offset_is_a_record(value: bytes | None) -> None:
    line, origin = read(value)
    assert line == (value or b"")
    assert origin.base == NOWHERE
    assert KafkaOrigins(KafkaSource(kind="kafka", topics=("posts",))).where(line, origin, None) == "posts-1:42"


@given(st.none() | st.binary(max_size=70))
def test_no_header_or_key_of_a_stranger_stops_a_row(data: bytes | None) -> None:
    _, origin = read(b"{}", data, data)
    assert origin.key == origin.traceparent == (data or b"").decode(errors="replace")


def test_an_outcome_becomes_a_keyed_result_with_its_origin() -> None:
    routing = KafkaRouting(KafkaSink(kind="kafka", topic="results"), "job", "")
    finished = Finished(outcome=outcome("unique"), line=b"{}", source="posts", partition=1, offset=42)
    (record,) = routing.records(unpack_finished(pack(finished)))
    assert (record.key, record.topic, record.origin, record.trace_id) == ("m1", "results", "posts-1:42", TRACE)
    assert json.loads(record.value)["outcome"] == "unique"


def test_a_dead_one_also_becomes_a_letter() -> None:
    routing = KafkaRouting(KafkaSink(kind="kafka", topic="results"), "job", "")
    result, letter = routing.records(Finished(outcome=outcome("dead"), line=b"\xff{", source="posts", offset=1))
    assert (result.topic, letter.topic) == ("results", "results-dead")
    assert json.loads(letter.value)["record"]["material_id"] == "m1"


def test_features_go_to_their_own_topic_as_they_are() -> None:
    vector = np.arange(3, dtype=np.float32)
    found = {"m1": {"text-embedding@1": Feature.of("vector", vector)}}
    finished = Finished(outcome=outcome("unique"), line=b"{}", features=found)
    _, record = KafkaRouting(KafkaSink(kind="kafka", topic="r", features="f"), "job", "").records(
        unpack_finished(pack(finished))
    )
    assert (record.key, record.topic) == ("m1", "f")
    body = json.loads(record.value)
    feature = body["features"]["m1"]["text-embedding@1"]
    assert (body["revision"], feature["schema"], feature["shape"]) == (2, "vector", [3])
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(feature["data"]), "<f4"), vector)


@given(OFFSETS, OFFSETS)
def test_records_between_offsets_are_counted_by_partition(first: Any, last: Any) -> None:
    one_by_one = sum(
        offset >= first.get(topic, {}).get(partition, 0)
        for topic, partitions in last.items()
        for partition, end in partitions.items()
        for offset in range(end)
    )
    assert between(first, last) == one_by_one
