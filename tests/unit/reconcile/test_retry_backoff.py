"""Full-jitter backoff against a plain oracle that adds the doublings up by hand."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from reconcile.retry.backoff import pause

SECONDS = st.floats(0.001, 1e6)
PART = st.floats(0, 1)


def oracle(waits: int, base_s: float, max_s: float, jitter: float, retry_after: float) -> float:
    ceiling = base_s
    for _ in range(waits):
        if ceiling >= max_s:
            break
        ceiling += ceiling
    return retry_after + min(ceiling, max_s) * jitter


@given(st.integers(0, 5000), SECONDS, SECONDS, PART, st.floats(0, 3600))
def test_it_is_the_oracles(waits: int, base_s: float, max_s: float, jitter: float, retry_after: float) -> None:
    assert pause(waits, base_s, max_s, jitter, retry_after) == oracle(waits, base_s, max_s, jitter, retry_after)


@given(st.integers(0, 100), SECONDS, SECONDS, PART)
def test_it_lies_between_nothing_and_the_ceiling(waits: int, base_s: float, max_s: float, jitter: float) -> None:
    ceiling = pause(waits, base_s, max_s, 1.0)
    assert 0 <= pause(waits, base_s, max_s, jitter) <= ceiling <= max_s
    assert ceiling <= pause(waits + 1, base_s, max_s, 1.0), "ceilings never fall"


def test_it_is_spread_over_the_whole_range() -> None:
    assert [pause(3, 1.0, 100.0, share / 4) for share in range(5)] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_an_overloaded_servers_wish_comes_on_top_and_is_never_negative() -> None:
    waits = [pause(n, 0.5, 4.0, 0.5, retry_after=10.0) for n in range(6)]
    assert waits == [10.25, 10.5, 11.0, 12.0, 12.0, 12.0]
    assert pause(0, 1.0, 1.0, 0.0, retry_after=-5.0) == 0.0


def test_what_failed_together_does_not_return_together() -> None:
    shares = [n / 1000 for n in range(1000)]
    due = sorted(pause(4, 1.0, 60.0, share) for share in shares)
    assert max(later - earlier for earlier, later in itertools.pairwise(due)) < 0.02
