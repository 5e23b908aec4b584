"""What `sosie trace` makes of spans: no moment is lost or counted twice, and the sentences say what the spans say."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.tracing.page import page
from pipeline.tracing.recording import Recording, current, recorded, step
from pipeline.tracing.sentences import seconds
from pipeline.tracing.story import Story, story_of
from pipeline.tracing.timeline import chosen, drawn
from reconcile.traces.reading import Trace
from reconcile.traces.records import Ending, Fragment, Span

MS = 1_000_000
BEGAN = 1_795_000_000_000 * MS


def fragment(start: float, end: float, ending: Ending | None, spans: list[Span], **changes: object) -> Fragment:
    """Milliseconds since the beginning."""
    given: dict[str, object] = {
        "trace_id": "ab" * 16,
        "material_id": "P1",
        "id": "00000001",
        "process": "p",
        "name": "pass",
        "kind": "image",
        "entered": BEGAN,
        "source": "in.jsonl",
    }
    given |= {"start": BEGAN + int(start * MS), "end": BEGAN + int(end * MS), "ending": ending, "spans": spans}
    return Fragment(**(given | changes))  # type: ignore[arg-type]


def span(name: str, start: float, end: float, parent: int = -1, error: str = "", **attributes: object) -> Span:
    return Span(name, BEGAN + int(start * MS), BEGAN + int(end * MS), parent, error, attributes)


def story(*fragments: Fragment, now_ms: float = 0) -> Story:
    return story_of(Trace("ab" * 16, "P1", list(fragments)), now=(BEGAN + now_ms * MS) / 1e9)


def on_screen(told: Story, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(drawn(told))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


SLOW = [
    span("parse", 0, 1),
    span("queue", 1, 10),
    span("plugin", 10, 1900, plugin="image-embedding@1", result="ok"),
    span("model", 11, 1890, 2, model="image-embedding", plugin="image-embedding"),
    span("model.wait", 11, 20, 3),
    span("model.call", 20, 520, 3, "timeout", endpoint="10.0.0.1:8001", attempt=1),
    span("model.call", 520, 1880, 3, endpoint="10.0.0.2:8001", attempt=2),
    span("publish", 1900, 1990),
]


def test_time_goes_to_the_deepest_step_and_to_gaps_between() -> None:
    told = story(fragment(0, 2000, Ending("unique", content_id="feed-x"), SLOW))
    spent = {share.what: share.ms for share in told.spent}
    assert spent == {
        "reading the line": 1.0,
        "waiting in Flink for its operator": 9.0,
        "waiting for company or a free call": 9.0,
        "call to 10.0.0.1:8001, attempt 1": 500.0,
        "call to 10.0.0.2:8001, attempt 2": 1360.0,
        "model image-embedding": 10.0,
        "plug-in image-embedding@1": 11.0,
        "writing to Redis": 90.0,
        "between the steps": 10.0,
    }
    assert told.sentences[0] == "Unique after 2 s; content ID feed-x."
    assert told.sentences[1] == ("A call to 10.0.0.1:8001 (model image-embedding) ended with 'timeout' after 500 ms.")
    assert told.sentences[-1].startswith("Of 2 s it spent 1.36 s (68%) call to 10.0.0.2:8001, attempt 2; 500 ms (25%)")


def test_a_way_through_the_retry_queue() -> None:
    first = [
        span("attempt", 0, 100, -1, "the index is away", attempt=1),
        span("assign", 10, 100, 0, "the index is away"),
        span("backoff", 100, 150),
        span("attempt", 150, 200, -1, "the index is away still", attempt=2),
        span("assign", 160, 200, 3, "the index is away still"),
    ]
    due = (BEGAN + 4200 * MS) / 1e9
    told = story(
        fragment(0, 200, Ending("retry", "the index is away still", attempts=2, due=due), first),
        fragment(
            4700, 4800, Ending("unique", content_id="feed-x", attempts=3), [span("assign", 4710, 4790)], attempt=3
        ),
    )
    assert told.sentences[:4] == [
        "Unique after 4.8 s, in 3 attempts; content ID feed-x.",
        "Attempt 1 failed after 100 ms at the index: the index is away.",
        "Attempt 2 failed after 50 ms at the index: the index is away still.",
        "After attempt 2 it went to the retry queue, for 4 s.",
    ]
    spent = {share.name: round(share.ms) for share in told.spent}
    assert (spent["retry.wait"], spent["retry.return"], spent["backoff"]) == (4000, 500, 50)
    assert [each.name for each in told.steps] == [
        *("attempt", "assign", "backoff", "attempt", "assign", "retry.wait", "retry.return", "assign")
    ]
    hurried = story(
        fragment(0, 200, Ending("retry", "the index is away still", attempts=2, due=due), first),
        fragment(700, 800, Ending("unique", content_id="feed-x", attempts=3), [], attempt=3),
    )
    assert hurried.sentences[3] == "After attempt 2 it went to the retry queue, for 500 ms."


def test_an_attempt_that_is_planned_is_not_told_as_past() -> None:
    due = (BEGAN + 4200 * MS) / 1e9
    waits = fragment(0, 200, Ending("retry", "the index is away still", attempts=2, due=due), [])
    before, after = story(waits, now_ms=1200), story(waits, now_ms=64_200)
    assert before.sentences[:2] == [
        "Waits in the retry queue, after 200 ms and 2 attempts: the index is away still.",
        "Attempt 3 is planned in 3 s; nothing of that wait is counted here.",
    ]
    assert after.sentences[1].startswith("Attempt 3 was due 1 min 0 s ago, and no trace of it is here yet")
    assert before.total_ms == after.total_ms == 200
    assert not any("for 4 s" in sentence for sentence in before.sentences)


def test_a_pause_ends_with_the_pass_that_a_deadline_cut() -> None:
    recording = Recording(BEGAN)
    recording.attempt_failed(1, "away", BEGAN + 10 * MS, 8.0)
    recording.attempts_over(BEGAN + 500 * MS)
    [pause] = [each for each in recording.spans if each.name == "backoff"]
    assert (pause.start, pause.end) == (BEGAN + 10 * MS, BEGAN + 500 * MS)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(-1, 5)), max_size=14))
def test_no_moment_is_lost_or_counted_twice(drawn_spans: list[tuple[int, int, int]]) -> None:
    spans = [
        span("media", min(a, b), max(a, b), parent if parent < place else -1, medium=str(place))
        for place, (a, b, parent) in enumerate(drawn_spans)
    ]
    told = story(fragment(0, 100, Ending("unique"), spans))
    assert abs(sum(share.ms for share in told.spent) - 100) < 1e-6
    assert len(told.steps) == len(spans)
    assert abs(sum(share.share for share in told.spent) - 1) < 0.01


def test_a_screen_holds_it_and_failures_stay_on_it() -> None:
    many = [span("media", n, n + 0.1, medium=f"{n}.jpg") for n in range(80)]
    many[70] = span("media", 70, 70.1, error="truncated", medium="70.jpg")
    told = story(fragment(0, 100, Ending("rejected", "truncated: half a file"), many))
    assert len(chosen(told.steps)) <= 30
    lines = on_screen(told)
    assert len(lines) <= 45
    assert all(len(line) <= 100 for line in lines)
    assert any("70.jpg" in line and "truncated" in line for line in lines)
    assert any("left out here" in line for line in lines)


def test_markup_in_names_and_errors_is_shown_as_it_is() -> None:
    odd = [span("media", 0, 5, error="[red]<script>alert(1)</script>[/nonsense]", medium="[bold]x.jpg")]
    told = story(fragment(0, 9, Ending("dead", "boom [/] <b>"), odd, source="[i]in.jsonl", material_id="@[/x]:1"))
    assert any("[bold]x.jpg" in line for line in on_screen(told, 140))
    text = page(told)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_attempts_gather_what_was_noted_since_the_one_before() -> None:
    recording = Recording(BEGAN)
    recording.add("media", BEGAN, BEGAN + 5)
    recording.attempt_failed(1, "away", BEGAN + 10, 0.5)
    recording.add("assign", BEGAN + 600 * MS, BEGAN + 601 * MS)
    recording.attempts_over(BEGAN + 700 * MS)
    names = [(each.name, each.parent) for each in recording.spans]
    assert names == [("media", 1), ("attempt", -1), ("backoff", -1), ("assign", 4), ("attempt", -1)]
    assert [each.attributes["attempt"] for each in recording.spans if each.name == "attempt"] == [1, 2]
    assert recording.spans[4].start == BEGAN + 10 + 500 * MS, "after the pause"
    once = Recording(BEGAN)
    once.add("media", BEGAN, BEGAN + 5)
    once.attempts_over(BEGAN + 9)
    assert [each.name for each in once.spans] == ["media"]


def test_steps_find_the_recording_of_their_own_material() -> None:
    assert current() is None
    with step("nothing is recorded"):
        pass
    recording = Recording(BEGAN)
    with recorded(recording):
        assert current() is recording
        with step("publish", to="Redis") as more:
            more["tried"] = 2
    assert current() is None
    [noted] = recording.spans
    assert (noted.name, noted.attributes) == ("publish", {"to": "Redis", "tried": 2})
    assert noted.start <= noted.end


def test_durations_in_words() -> None:
    assert [seconds(ms) for ms in (0.0123, 12.34, 999.9, 2412, 185_000)] == [
        *("12 µs", "12.3 ms", "1 s", "2.41 s", "3 min 5 s")
    ]
