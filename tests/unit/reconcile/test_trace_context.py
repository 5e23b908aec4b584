"""W3C trace context: what is taken over, what is ignored, and what is kept of all that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconcile.traces.context import TraceContext, begin, context_of, is_in_share, parse, root_span_id, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_valid_header_is_taken_over() -> None:
    assert parse(f"00-{TRACE}-{SPAN}-01") == TraceContext(TRACE, SPAN, sampled=True)
    assert parse(f"00-{TRACE}-{SPAN}-00") == TraceContext(TRACE, SPAN, sampled=False)
    assert parse(f"00-{TRACE}-{SPAN}-03") == TraceContext(TRACE, SPAN, sampled=True), "other flags are none of ours"
    assert parse(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings") == TraceContext(TRACE, SPAN, sampled=True)


def test_what_the_standard_says_to_ignore_is_ignored() -> None:
    for bad in (
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
    ):
        assert parse(bad) is None, bad


@given(st.text(max_size=80))
def test_no_text_is_too_odd(text: str) -> None:
    found = context_of(text, text)
    assert len(found.trace_id) == 32
    assert int(found.trace_id, 16)


@given(st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}"))
def test_what_we_write_we_read(trace_id: str) -> None:
    assert parse(traceparent(trace_id, SPAN)) == TraceContext(trace_id, SPAN, sampled=True)


def test_the_header_wins_then_the_field_then_a_readable_line() -> None:
    of_header, of_field, of_line = (f"00-{digit * 32}-{SPAN}-01" for digit in "abc")
    line = b'{"kind": "nonsense", "traceparent": "' + of_line.encode() + b'", "media": ['
    assert context_of(of_field, of_header, line).trace_id == "a" * 32
    assert context_of(of_field, "garbage", line).trace_id == "b" * 32
    assert context_of(None, "", line).trace_id == "c" * 32
    assert context_of(["no", "string"]).parent_span == ""
    assert context_of().trace_id != context_of().trace_id


def test_a_share_is_that_share_and_the_same_for_everyone() -> None:
    ids = [begin().trace_id for _ in range(4000)]
    kept = [trace_id for trace_id in ids if is_in_share(trace_id, 0.25)]
    assert 800 < len(kept) < 1200
    assert kept == [trace_id for trace_id in ids if is_in_share(trace_id, 0.25)]
    assert all(is_in_share(trace_id, 1.0) for trace_id in [*ids, "f" * 32])
    assert not any(is_in_share(trace_id, 0.0) for trace_id in [*ids, "0" * 32])
    assert set(kept) <= {trace_id for trace_id in ids if is_in_share(trace_id, 0.5)}


def test_every_process_derives_the_same_root() -> None:
    assert root_span_id(TRACE, "P1") == root_span_id(TRACE, "P1") != root_span_id(TRACE, "P2")
    assert len(root_span_id(TRACE, "@odd \udc80:1")) == 16
