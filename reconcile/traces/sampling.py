"""Which traces are kept. Decided at a pass's end, when it is known what became of the material ("tail sampling")."""

from __future__ import annotations

from typing import Final

import msgspec

from reconcile.traces.context import is_in_share
from reconcile.traces.records import Ending

_FAILED: Final = frozenset({"dead", "retry"})
ORDINARY: Final = frozenset({"duplicate", "share"})
"""Reasons that make no trace remarkable: such traces have a part of the store of their own."""


class Sampling(msgspec.Struct, frozen=True):
    """`keep`, `duplicates`: shares, 0..1, of materials of which there is nothing to tell, and of duplicates."""

    keep: float = 1.0
    duplicates: float = 1.0
    slow_ms: float = 1000.0


def reason_to_keep(
    sampling: Sampling, trace_id: str, ending: Ending, *, troubled: bool = False, asked: bool = False
) -> str:
    """Why a trace is kept: `failed`, `rejected`, `retried`, `slow`, `troubled`, `asked`, `duplicate` or `share`; ""
    when it is not.

    Args:
        troubled: a step failed, and yet the material came through.
        asked: its producer keeps the trace.
    """
    if ending.outcome in _FAILED:
        return "failed"
    if ending.outcome == "rejected":
        return "rejected"
    if ending.attempts > 1:
        return "retried"
    if ending.latency_ms >= sampling.slow_ms:
        return "slow"
    if troubled:
        return "troubled"
    if asked:
        return "asked"
    if ending.outcome == "duplicate" and is_in_share(trace_id, sampling.duplicates):
        return "duplicate"
    return "share" if is_in_share(trace_id, sampling.keep) else ""
