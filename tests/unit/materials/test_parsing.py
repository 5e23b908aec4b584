from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materials.errors import Rejected
from materials.parsing import MAX_LINE_BYTES, MAX_TEXT_CHARACTERS, parse_line, readable_id
from materials.records import Material

GOOD = {"material_id": "P1", "kind": "post", "text": "你好", "media": ["a.jpg"]}


def line(**changes: object) -> bytes:
    fields = {**GOOD, **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not ...}, ensure_ascii=False).encode()


def code(raw: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        parse_line(raw, "posts.jsonl:7")
    assert caught.value.sentence.startswith("posts.jsonl:7: ")
    assert caught.value.reason.startswith(caught.value.code + ": ")
    return caught.value.code


def sentence(raw: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        parse_line(raw, "f:1")
    return caught.value.sentence


def test_every_field_is_read() -> None:
    raw = line(created_at="2026-01-31T08:00:00.5+08:00", author_id="u1", biz="feed", revision=3, shop={"a": [1]})
    assert parse_line(raw + b"\r\n", "f:1") == Material(
        material_id="P1",
        kind="post",
        text="你好",
        media=("a.jpg",),
        created_at=1769817600.5,
        author_id="u1",
        biz="feed",
        revision=3,
        extra={"shop": {"a": [1]}},
    )


def test_null_stands_for_an_absent_optional_field() -> None:
    got = parse_line(line(created_at=None, biz=None, revision=None, op=None), "f:1")
    assert (got.created_at, got.biz, got.revision, got.op) == (None, "", 0, "upsert")


def test_a_delete_needs_no_content() -> None:
    assert parse_line(line(op="delete", text=..., media=..., kind="video"), "f:1").op == "delete"


@pytest.mark.parametrize(
    ("given_time", "seconds"),
    [
        (0, 0.0),
        (1769817600.25, 1769817600.25),
        ("1970-01-01T00:00:00Z", 0.0),
        ("1969-12-31t23:59:59.750z", -0.25),
        ("2016-12-31 23:59:60Z", 1483228800.0),
        ("1996-12-19T16:39:57-08:00", 851042397.0),
    ],
)
def test_created_at(given_time: object, seconds: float) -> None:
    assert parse_line(line(created_at=given_time), "f:1").created_at == seconds


@pytest.mark.parametrize(
    "bad",
    ["yesterday", "2026-01-31", "2026-01-31T08:00:00", "2026-02-30T08:00:00Z", "2026-01-31T08:00:0012Z", 1.7e12, -1e12],
)
def test_bad_created_at(bad: object) -> None:
    assert code(line(created_at=bad)) == "bad_created_at"


def test_milliseconds_are_recognised() -> None:
    assert "milliseconds" in sentence(line(created_at=1769817600000))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "broken_json"),
        (b"{", "broken_json"),
        (b'{"material_id": "P1", "kind": "post", "text": "ab', "broken_json"),
        (b'{"a": NaN}', "broken_json"),
        (b'{"a": 1e999}', "broken_json"),
        (b'{"a": "\\ud800"}', "broken_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b"[1]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"[" * 100_000, "too_deep"),
        (b'{"x":' + b"[" * 32 + b"]" * 32 + b"}", "too_deep"),
        (b'{"x": "' + b"a" * MAX_LINE_BYTES + b'"}', "line_too_long"),
        (b'{"material_id": "P1", "kind": "post", "text": "a", "text": "b"}', "duplicate_key"),
        (b'{"material_id": "P1", "kind": "post", "text": "\\u003a", "text": "b"}', "duplicate_key"),
        (b'{"material_id": "P1", "kind": "post", "text": "a", "x": {"y": 1, "y": 1}}', "duplicate_key"),
        (line(material_id=...), "missing_field"),
        (line(kind=...), "missing_field"),
        (line(material_id=7), "wrong_type"),
        (line(material_id=None), "wrong_type"),
        (line(text=["a"]), "wrong_type"),
        (line(media="a.jpg"), "wrong_type"),
        (line(media=["a.jpg", 3]), "wrong_type"),
        (line(revision=True), "wrong_type"),
        (line(revision="1"), "wrong_type"),
        (line(revision=1.0), "wrong_type"),
        (line(created_at=[]), "wrong_type"),
        (line(created_at=True), "wrong_type"),
        (line(kind=3), "wrong_type"),
        (line(material_id=""), "bad_material_id"),
        (line(material_id="P1/0"), "bad_material_id"),
        (line(material_id="P1\n"), "bad_material_id"),
        (line(material_id="a" * 129), "bad_material_id"),
        (line(kind="picture"), "unknown_kind"),
        (line(op="remove"), "unknown_op"),
        (line(version=2), "unknown_version"),
        (line(version="1"), "unknown_version"),
        (line(revision=-1), "bad_revision"),
        (line(revision=2**63), "bad_revision"),
        (line(text="x" * (MAX_TEXT_CHARACTERS + 1)), "text_too_long"),
        (line(text="", media=[]), "no_content"),
        (line(text=" \n", media=...), "no_content"),
        (line(kind="image", media=...), "no_content"),
        (line(kind="image", media=["a", "b"]), "wrong_media_count"),
        (line(media=["a.jpg"] * 19), "too_many_media"),
        (line(media=["a\u0000.jpg"]), "bad_media"),
        (line(media=[""]), "bad_media"),
        (line(media=["a" * 5000]), "bad_media"),
    ],
)
def test_rejections(raw: bytes, expected: str) -> None:
    assert code(raw) == expected


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (line(kind="vidoe"), "did you mean `video`"),
        (line(material_id=..., materialid="P1"), "`materialid`"),
        (line(media=["a", 3]), "`media[1]` is an integer (3)"),
        (b'{"material_id": "P1" "kind": 1}', "column 22"),
        (b'{"material_id": "P1", "te', "cut off"),
        (line(material_id="P 1"), "' '"),
        (b'{"a": "\xff"}', "byte 8 (0xff)"),
    ],
)
def test_sentences_name_what_was_wrong(raw: bytes, named: str) -> None:
    assert named in sentence(raw)


def test_colons_in_text_are_not_taken_for_repeated_keys() -> None:
    raw = line(text='see: http://a.b "x":1 \\: :', media=["http://c:80/d"], **{"a:b": ":"})
    assert parse_line(raw, "f:1").extra == {"a:b": ":"}


def test_exactly_the_permitted_depth_is_read() -> None:
    deep = b"[" * 31 + b"]" * 31
    assert "x" in parse_line(line()[:-1] + b', "x": ' + deep + b"}", "f:1").extra


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (line(kind="nothing"), "P1"),
        (line(version=9), "P1"),
        (b'{"material_id": "P1", "text": "cut', "P1"),
        (b'{"material_id": "P1", "text": "\xff"}', "P1"),
        (b'\xef\xbb\xbf{"text": "\\"material_id\\": \\"no\\"", "material_id" : "P1"', "P1"),
        (b'{"x": {"material_id": "inner"}, "material_id": "P1"', "P1"),
        (b'{"x": {"material_id": "inner"}, ', None),
        (b'{"material_id": "P1", "material_id": "P2"}', None),
        (b'{"material_id": "P1", "material_id": "P1"}', "P1"),
        (b'{"material_id": "P', None),
        (b'{"material_id": "P/1"}', None),
        (b'{"material_id": 7}', None),
        (b'["material_id", "P1"]', None),
        (b"", None),
        (b'{"material_id": "P1", "text": "' + b"a" * MAX_LINE_BYTES, "P1"),
    ],
)
def test_readable_id(raw: bytes, expected: str | None) -> None:
    assert readable_id(raw) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["material_id", "kind", "text", "media", "created_at", "author_id", "biz", "op", "revision", "version", "x"]
)


def only_material_or_rejected(raw: bytes) -> None:
    found = readable_id(raw)
    try:
        got = parse_line(raw, "f:1")
    except Rejected as error:
        error.reason.encode()
    else:
        assert isinstance(got, Material)
        assert found == got.material_id


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    only_material_or_rejected(raw)


@given(st.dictionaries(names, values | st.sampled_from(["P1", "post", "image", "upsert", 1, 0])))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_any_object(fields: dict[str, object]) -> None:
    only_material_or_rejected(json.dumps(fields).encode())


@given(st.data())
def test_any_damage_to_a_good_line(data: st.DataObject) -> None:
    raw = bytearray(line(created_at=1, note=[{"a": ["b:"]}]))
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(raw) - 1))
        raw[i : i + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"{", b","])
        )
        if not raw:
            break
    only_material_or_rejected(bytes(raw))


def test_long_hostile_lines_are_read_in_linear_time() -> None:
    hostile = [b'"' * MAX_LINE_BYTES, b'{"' + b"\\" * (MAX_LINE_BYTES - 3), b'{"a":' * 200_000, b'[""' * 300_000]
    began = time.process_time()
    for raw in hostile:
        only_material_or_rejected(raw[:MAX_LINE_BYTES])
    assert time.process_time() - began < 10


def test_the_common_line_is_cheap() -> None:
    raw = line(created_at=1769817600, author_id="u123", text="今天天气不错: " * 12)
    best = min(_seconds(raw) for _ in range(5))
    assert best < 200e-6  # a loaded machine's bound; 20 us is what to expect


def _seconds(raw: bytes, n: int = 200) -> float:
    began = time.process_time()
    for _ in range(n):
        parse_line(raw, "f:1")
    return (time.process_time() - began) / n


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (line(text="a\u0000b"), "nul_character"),
        (line(biz="a\u0000b"), "nul_character"),
        (line(author_id="a" * 257), "name_too_long"),
        (line(biz="a" * 257), "name_too_long"),
        (line(text="\u200b\u2066 \u3164\ufeff", media=...), "no_content"),
    ],
)
def test_texts_that_are_not_what_they_seem(raw: bytes, expected: str) -> None:
    assert code(raw) == expected


def test_a_megabyte_of_brackets_is_refused_at_the_first_that_is_too_deep() -> None:
    begun = time.process_time()
    for _ in range(20):
        assert code(b'{"material_id": "P1", "x": ' + b"[" * (MAX_LINE_BYTES - 100)) == "too_deep"
    assert time.process_time() - begun < 2
