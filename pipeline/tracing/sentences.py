"""A trace in sentences: what became of the material, what went wrong on the way, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from reconcile.traces.reading import Trace
from reconcile.traces.records import Ending, Fragment, Span

_TOLD = 3
"""Contributions to the time that are worth a word."""
_WORTH = 0.05


def seconds(ms: float) -> str:
    """`840 µs`, `12.3 ms`, `2.41 s`, `3 min 5 s`."""
    if ms < 1:
        return f"{ms * 1000:.0f} µs"
    if ms < 999.5:
        return f"{ms:.3g} ms"
    if ms < 60_000:
        return f"{ms / 1000:.3g} s"
    return f"{int(ms // 60_000)} min {ms % 60_000 / 1000:.0f} s"


def sentences_of(trace: Trace, spent: Sequence[tuple[str, float, float]], total_ms: float, now: float) -> list[str]:
    """The verdict first.

    Args:
        spent: what, milliseconds and share of the whole, the longest first.
        now: epoch seconds: whether a planned attempt is still to come.
    """
    last = trace.fragments[-1]
    told = [_verdict(last.ending, total_ms)]
    if last.ending is not None and last.ending.outcome == "retry" and last.ending.due:
        told.append(_planned(last.ending, now))
    told += _failures(trace.fragments)
    known = [span.attributes["known"] for f in trace.fragments for span in f.spans if span.attributes.get("known")]
    if known:
        told.append(f"Features of the same bytes were known already, and not computed again: {', '.join(known)}.")
    if any(span.attributes.get("replayed") for span in last.spans):
        told.append("The index had decided this material before, and gave the same answer again.")
    told.append(_time(spent, total_ms))
    return told


def _verdict(ending: Ending | None, total_ms: float) -> str:
    if ending is None:
        return "It is not known how it ended."
    took = f"after {seconds(total_ms)}"
    times = f", in {ending.attempts} attempts" if ending.attempts > 1 else ""
    if ending.outcome == "retry":
        return f"Waits in the retry queue, {took} and {ending.attempts} attempts: {_clause(ending.reason)}."
    if ending.outcome == "duplicate":
        by = f" by {ending.ranker}" if ending.ranker else ""
        match = f" of {ending.matched}, with a score of {ending.score:.3f}{by}" if ending.matched else ""
        return f"A duplicate{match} {took}{times}; content ID {ending.content_id}."
    if ending.outcome == "unique":
        return f"Unique {took}{times}; content ID {ending.content_id}."
    if ending.outcome in ("rejected", "dead"):
        word = "Rejected" if ending.outcome == "rejected" else "Dead"
        return f"{word} {took}{times}, because {ending.reason.rstrip('.')}."
    return f"{ending.outcome.capitalize()} {took}{times}."


def _planned(ending: Ending, now: float) -> str:
    """When the next attempt is due: a plan, and nothing that has happened."""
    number, left = ending.attempts + 1, ending.due - now
    if left > 0:
        return f"Attempt {number} is planned in {seconds(left * 1e3)}; nothing of that wait is counted here."
    return f"Attempt {number} was due {seconds(-left * 1e3)} ago, and no trace of it is here yet: does its job run?"


def _failures(fragments: Sequence[Fragment]) -> list[str]:
    """One sentence for each attempt that failed, with the step at which it did; then steps that failed by the way."""
    told = []
    number = 0
    for fragment, after in zip_longest(fragments, fragments[1:]):
        tries = [span for span in fragment.spans if span.name == "attempt"]
        for span in tries:
            number += 1
            if span.error:
                at = _where(fragment, span)
                told.append(f"Attempt {number} failed after {seconds(span.seconds * 1e3)}{at}: {_clause(span.error)}.")
        if not tries:
            number += 1
            if fragment.ending is not None and fragment.ending.outcome == "retry":
                reason = _clause(fragment.ending.reason)
                told.append(f"Attempt {number} failed: {reason}.")
        ending = fragment.ending
        if ending is not None and ending.outcome == "retry" and ending.due and after is not None:
            # a person may have hurried it: then it came back before it was due
            wait = max(0.0, min(ending.due * 1e3, after.start / 1e6) - fragment.end / 1e6)
            told.append(f"After attempt {number} it went to the retry queue, for {seconds(wait)}.")
        aside = [span for span in fragment.spans if span.error and span.name == "model.call"]
        for span in aside:
            about = f"{span.attributes.get('endpoint', '?')} ({_model_of(fragment, span)})"
            told.append(f"A call to {about} ended with {span.error!r} after {seconds(span.seconds * 1e3)}.")
    return _without_repeats(told)


def _where(fragment: Fragment, attempt: Span) -> str:
    place = fragment.spans.index(attempt)
    failed = [span.name for span in fragment.spans if span.parent == place and span.error]
    names = {"media": "with its medium", "plugin": "in a plug-in", "assign": "at the index", "publish": "at Redis"}
    return f" {names[failed[-1]]}" if failed and failed[-1] in names else ""


def _model_of(fragment: Fragment, call: Span) -> str:
    model = fragment.spans[call.parent] if call.parent >= 0 else call
    return f"model {model.attributes.get('model', '?')}"


def _time(spent: Sequence[tuple[str, float, float]], total_ms: float) -> str:
    parts = [f"{seconds(ms)} ({share:.0%}) {what}" for what, ms, share in spent[:_TOLD] if share >= _WORTH]
    return f"Of {seconds(total_ms)} it spent {'; '.join(parts)}."


def _clause(error: str) -> str:
    return error.rstrip(". ")


def _without_repeats(lines: list[str]) -> list[str]:
    """The first few of many; no sentence twice."""
    distinct = list(dict.fromkeys(lines))
    more = len(distinct) - 6
    return distinct if more <= 0 else [*distinct[:6], f"And {more} more like these."]
