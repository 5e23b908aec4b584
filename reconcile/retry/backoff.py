"""When a record may try again: full-jitter exponential backoff (M. Brooker, AWS Architecture Blog, 2015)."""

from __future__ import annotations

import msgspec


class RetryRule(msgspec.Struct, frozen=True):
    """`attempts`: over all, those inside the operator included; `base_s`, `max_s`: seconds of the backoff's ceiling,
    at the first wait and at most."""

    attempts: int
    base_s: float
    max_s: float


def pause(waits: int, base_s: float, max_s: float, jitter: float, retry_after: float = 0.0) -> float:
    """Seconds to wait: uniform below a ceiling that doubles, so that what failed together does not return together.

    Args:
        waits: earlier waits of the record, 0 for its first.
        base_s: the first ceiling.
        max_s: no ceiling is higher.
        jitter: uniform in 0..1.
        retry_after: seconds that an overloaded server asks for; they come on top.
    """
    # beyond 2**64 every ceiling is `max_s`, and a float would overflow at 2**1024
    ceiling = min(max_s, base_s * 2.0 ** min(waits, 64))
    return max(0.0, retry_after) + ceiling * jitter
