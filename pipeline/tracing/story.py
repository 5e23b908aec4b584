"""What a trace says: the steps in their order, where the time went, and why it ended as it did."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from pipeline.tracing.reconciled import Finding
from pipeline.tracing.sentences import sentences_of
from reconcile.traces.reading import Trace
from reconcile.traces.records import Fragment, Span


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline. `start_ms`: since the material entered; `depth`: 0 for the steps of a pass."""

    name: str
    what: str
    start_ms: float
    ms: float
    depth: int = 0
    error: str = ""
    attributes: dict[str, Any] = {}


class Share(msgspec.Struct, frozen=True):
    """Time that one thing took for itself, nothing below it counted. `what`: for people."""

    name: str
    what: str
    ms: float
    share: float


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All that `sosie trace` tells. `spent`: the longest first; their sum is `total_ms`."""

    material_id: str
    trace_id: str
    kind: str
    revision: int
    job: str
    source: str
    entered: float
    total_ms: float
    outcome: str
    kept: str
    attempts: int
    sentences: list[str]
    spent: list[Share]
    steps: list[Step]
    other_traces: list[str] = []
    reconciled: list[Finding] = []


WAITING: Final = "retry.wait"
RETURNING: Final = "retry.return"
_WORDS: Final = {
    "parse": "reading the line",
    "queue": "waiting in Flink for its operator",
    "attempt": "attempt {attempt}",
    "backoff": "pause before the next attempt",
    "media": "medium {medium}",
    "fetch": "fetching from its host",
    "decode.wait": "waiting for a decoder, free or starting",
    "decode.read": "reading the file",
    "decode.pixels": "decoding",
    "decode.keep": "keeping a small copy",
    "prepare": "{plugin} prepares",
    "cache": "asking for features of the same bytes",
    "plugin": "plug-in {plugin}",
    "model": "model {model}",
    "model.wait": "waiting for company or a free call",
    "model.call": "call to {endpoint}, attempt {attempt}",
    "assign": "asking the index",
    "assign.wait": "waiting for company or a free call",
    "assign.call": "call to the index, a batch of {items}",
    "index.wait": "waiting for the index's writer",
    "index.decide": "the index decides",
    "publish": "writing to Redis",
    WAITING: "waiting in the retry queue",
    RETURNING: "coming back from the retry queue",
    "pass": "between the steps",
}


def what(span: Span) -> str:
    """A step in words."""
    words = _WORDS.get(span.name, span.name)
    return words.format_map(defaultdict(lambda: "?", span.attributes))


def story_of(
    trace: Trace, others: Sequence[str] = (), findings: Sequence[Finding] = (), now: float | None = None
) -> Story:
    """Told from the start of the first pass that is kept, or from the record's entry where that is earlier.

    Args:
        now: epoch seconds; default: the clock's.
    """
    first, last = trace.fragments[0], trace.fragments[-1]
    began = min([first.start, *(f.entered for f in trace.fragments if f.entered)])
    steps: list[Step] = []
    timed: list[tuple[Span, int]] = []
    previous: Fragment | None = None
    for fragment in trace.fragments:
        if previous is not None and fragment.start > previous.end:
            waits = _waits(previous, fragment.start)
            timed += [(wait, 1) for wait in waits]
            steps += [_step(wait, began, 0) for wait in waits]
        rows = _tree(fragment)
        timed += [(Span("pass", fragment.start, fragment.end), 0)]
        timed += [(span, depth + 1) for span, depth in rows]
        steps += [_step(span, began, depth) for span, depth in rows]
        previous = fragment
    end = max(fragment.end for fragment in trace.fragments)
    total = (end - began) / 1e6
    spent = _spent(timed, began, end)
    ending = last.ending
    moment = time.time() if now is None else now
    return Story(
        material_id=trace.material_id,
        trace_id=trace.trace_id,
        kind=last.kind,
        revision=last.revision,
        job=last.job,
        source=_place(last),
        entered=began / 1e9,
        total_ms=round(total, 3),
        outcome=ending.outcome if ending else "",
        kept=last.kept,
        attempts=ending.attempts if ending else last.attempt,
        sentences=[
            *sentences_of(trace, [(share.what, share.ms, share.share) for share in spent], total, moment),
            *(finding.sentence for finding in findings),
        ],
        spent=spent,
        steps=steps,
        other_traces=list(others),
        reconciled=list(findings),
    )


def _waits(previous: Fragment, until: int) -> list[Span]:
    """Between two passes: until the record was due, then until the pump and Flink had brought it back."""
    due = int(previous.ending.due * 1e9) if previous.ending is not None else 0
    if not previous.end < due < until:
        return [Span(WAITING, previous.end, until)]
    return [Span(WAITING, previous.end, due), Span(RETURNING, due, until)]


def _tree(fragment: Fragment) -> list[tuple[Span, int]]:
    """Spans with their depth, parents before children, in the order of their starts."""
    children: dict[int, list[int]] = defaultdict(list)
    for place, span in enumerate(fragment.spans):
        children[span.parent].append(place)
    rows: list[tuple[Span, int]] = []

    def walk(parent: int, depth: int) -> None:
        for place in sorted(children[parent], key=lambda each: (fragment.spans[each].start, fragment.spans[each].end)):
            rows.append((fragment.spans[place], depth))
            walk(place, depth + 1)

    walk(-1, 0)
    return rows


def _spent(timed: list[tuple[Span, int]], began: int, end: int) -> list[Share]:
    """Each moment belongs to the deepest step under way then, of several to the one that began last."""
    edges = sorted(
        {began, end, *(edge for span, _ in timed for edge in (span.start, span.end) if began <= edge <= end)}
    )
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for left, right in pairwise(edges):
        under_way = [(depth, span.start, number) for number, (span, depth) in enumerate(timed) if _covers(span, left)]
        if under_way:
            span = timed[max(under_way)[2]][0]
            totals[span.name, what(span)] += right - left
        else:
            totals["pass", _WORDS["pass"]] += right - left
    whole = max(1, end - began)
    found = [
        Share(name, words, round(spent / 1e6, 3), round(spent / whole, 4)) for (name, words), spent in totals.items()
    ]
    return sorted(found, key=lambda share: -share.ms)


def _covers(span: Span, moment: int) -> bool:
    return span.start <= moment < span.end


def _step(span: Span, began: int, depth: int) -> Step:
    return Step(
        name=span.name,
        what=what(span),
        start_ms=round((span.start - began) / 1e6, 3),
        ms=round((span.end - span.start) / 1e6, 3),
        depth=depth,
        error=span.error,
        attributes=span.attributes,
    )


def _place(fragment: Fragment) -> str:
    if fragment.offset < 0:
        return fragment.source
    return f"{fragment.source}-{fragment.partition}:{fragment.offset}"
