"""What the background has to do next: a pure function of what there is."""

from __future__ import annotations

import math
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
    """Segments of about one size, smallest first: so each row is written anew log(n) times only."""
    tiers: dict[int, list[int]] = {}
    for number, segment in enumerate(segments):
        size = max(1.0, len(segment) / max(1, settings.least_sealed))
        tiers.setdefault(int(math.log(size, settings.fan_in)), []).append(number)
    for tier in sorted(tiers):
        if len(tiers[tier]) >= settings.fan_in:
            return Plan(tuple(tiers[tier]), None)
    return None
