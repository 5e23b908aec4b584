"""What the background has to do next: a pure function of what there is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vector_index.segments.codebook import Codebook, Codes, code_bytes
from vector_index.segments.segment import Segment
from vector_index.segments.settings import SegmentSettings


class Plan(msgspec.Struct, frozen=True):
    """Make one segment of some. `train`: with new cells for these codes; None keeps the newest ones."""

    sources: tuple[int, ...]
    train: Codes | None
    seal_active: bool = False


def wanted_codes(live: int, dim: int, now: Codes | None, settings: SegmentSettings) -> Codes:
    """8-bit codes while they fit the budget. What has gone over to RaBitQ returns at half the budget only."""
    limit = settings.memory // 2 if now == "rabitq" else settings.memory
    return "rabitq" if live * code_bytes("sq8", dim) > limit else "sq8"


def next_plan(
    segments: Sequence[Segment], active_live: int, newest: Codebook | None, dim: int, settings: SegmentSettings
) -> Plan | None:
    """The next thing to do, None when all is well.

    Args:
        segments: sealed, oldest first.
        active_live: rows of the active segment.
        newest: its codebook.
    """
    live = active_live + sum(segment.live for segment in segments)
    everything = tuple(range(len(segments)))
    codes = wanted_codes(live, dim, None if newest is None else newest.codes, settings)
    if newest is None:
        return Plan(everything, codes, seal_active=True) if live > settings.flat_limit else None
    if codes != newest.codes or live >= newest.trained_at * settings.regrow:
        return Plan(everything, codes, seal_active=True)
    outdated = tuple(i for i, one in enumerate(segments) if one.codebook is None or one.codebook.name != newest.name)
    if outdated:
        return Plan(outdated, None)
    for number, segment in enumerate(segments):
        if segment.dead_count > settings.dead_share * len(segment):
            return Plan((number,), None)
    return _tier(segments, settings)


def _tier(segments: Sequence[Segment], settings: SegmentSettings) -> Plan | None:
    """The smallest segments, up to the last that is not `fan_in` times as large as those below it together.

    What stays grows by more than that factor from one to the next, so that a space of any size lies in a few segments,
    one of which holds most of it: every further one costs a search as many jumps in memory as it has cells to look
    into, which at a million vectors in six segments was a third of the search. Each row is written anew about eight
    times while a space grows from one segment to two hundred times that.
    """
    order = sorted(range(len(segments)), key=lambda number: (len(segments[number]), number))
    below = taken = 0
    for place, number in enumerate(order):
        if place and len(segments[number]) <= settings.fan_in * below:
            taken = place + 1
        below += len(segments[number])
    return Plan(tuple(sorted(order[:taken])), None) if taken else None
