"""The spans of one pass, while they happen.

A recording belongs to one material's coroutine. Its steps find it through a context variable, as OpenTelemetry's own
do: a coroutine and the tasks that it starts see theirs and no other. Recording is a list's `append`; whether the trace
is kept is decided at its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from reconcile.traces.records import THE_PASS, Span

_current: ContextVar[Recording | None] = ContextVar("sosie_recording", default=None)
_medium: ContextVar[str] = ContextVar("sosie_medium", default="")


class Recording:
    """Spans of one pass, in the order in which they were noted."""

    __slots__ = ("_family", "began", "models", "span_id", "spans", "trace_id")

    def __init__(self, began: int, trace_id: str = "", span_id: str = "") -> None:
        self.began = began
        self.trace_id = trace_id
        self.span_id = span_id
        self.spans: list[Span] = []
        self.models: list[Span] = []
        """Model calls whose plug-in has not ended yet."""
        self._family = 0  # the first span that belongs to the attempt under way

    def add(self, name: str, start: int, end: int, parent: int = THE_PASS, error: str = "", **attributes: Any) -> int:
        """Note a step that is over; its place, for its children."""
        self.spans.append(Span(name, start, end, parent, error, attributes))
        return len(self.spans) - 1

    def attempt_failed(self, number: int, error: str, now: int, pause: float) -> None:
        """All that was noted since the attempt before belonged to attempt `number`, which failed; the next one begins
        `pause` seconds later."""
        self._gather(number, error, now)
        if pause:
            self.add("backoff", now, now + int(pause * 1e9))
            self._family = len(self.spans)

    def attempts_over(self, now: int) -> None:
        """The last attempt is over; when it was the only one, the pass stands for it.

        A pause that was planned is cut where the pass was: a deadline does not wait for its end.
        """
        for span in self.spans:
            if span.name == "backoff":
                span.end = max(span.start, min(span.end, now))
        if self._family and self._family < len(self.spans):
            self._gather(1 + sum(span.name == "attempt" for span in self.spans), "", now)

    def _gather(self, number: int, error: str, now: int) -> None:
        began = self.spans[self._family - 1].end if self._family else self.began
        place = self.add("attempt", began, now, error=error, attempt=number)
        for span in self.spans[self._family : place]:
            if span.parent == THE_PASS and span.start >= self.began:
                span.parent = place
        self._family = len(self.spans)

    @property
    def troubled(self) -> bool:
        """Whether a step failed."""
        return any(span.error for span in self.spans)


def current() -> Recording | None:
    """The recording of the material at hand; None where none is made."""
    return _current.get()


def medium() -> str:
    """The medium at hand, as the record names it; "" for a material's own text."""
    return _medium.get()


def enter_medium(uri: str) -> None:
    """From now on this coroutine is about that medium."""
    _medium.set(uri)


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """Within, `current` is that recording."""
    token, before = _current.set(recording), _medium.set("")
    try:
        yield
    finally:
        _current.reset(token)
        _medium.reset(before)


@contextmanager
def step(name: str, **attributes: Any) -> Iterator[dict[str, Any]]:
    """A span around what is done within; what it raises becomes its error. Attributes may be added to what it gives."""
    recording = _current.get()
    start = time.time_ns()
    error = ""
    try:
        yield attributes
    except BaseException as raised:
        error = told(raised)
        raise
    finally:
        if recording is not None:
            recording.spans.append(Span(name, start, time.time_ns(), THE_PASS, error, attributes))


def told(error: BaseException) -> str:
    """An error in one line of at most 300 characters."""
    text = " ".join(str(getattr(error, "reason", "") or error or type(error).__name__).split())
    return text if len(text) <= 300 else text[:299] + "…"
