"""The last minutes of ever-growing counters.

A counter costs one addition when something happens. What happened lately is the difference to a copy that was made
when a time slot began. Copies are made once a slot, by whoever comes first in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class RollingWindow(Generic[Key]):
    """Remembers counters at the starts of slots. Not thread-safe, and asks no clock: times are handed in.

    Args:
        width: of a slot, in seconds.
        slots: how many are remembered, the present one included.
    """

    def __init__(self, width: float = 5.0, slots: int = 60) -> None:
        self.width = width
        self.slots = slots
        self.next_slot = float("-inf")
        self._present = 0
        self._starts: deque[tuple[int, dict[Key, tuple[float, ...]]]] = deque()

    @property
    def seconds(self) -> float:
        """The time that a full window spans."""
        return self.width * self.slots

    def roll(self, now: float, counters: Mapping[Key, Sequence[float]]) -> None:
        """Call with the counters as they are, before the first change at or after `next_slot` (seconds)."""
        self._present = int(now // self.width)
        self.next_slot = (self._present + 1) * self.width
        before = self._starts[-1][1] if self._starts else {}
        copy: dict[Key, tuple[float, ...]] = {}
        for key, values in counters.items():
            fresh, known = tuple(values), before.get(key)
            copy[key] = known if known == fresh else fresh  # idle counters share one copy
        self._starts.append((self._present, copy))
        while self._starts and self._starts[0][0] <= self._present - self.slots:
            self._starts.popleft()

    def forget(self, key: Key) -> None:
        """A counter is given up; one of the same key that comes later starts at nothing."""
        for _, copy in self._starts:
            copy.pop(key, None)

    def lately(self, now: float, counters: Mapping[Key, Sequence[float]]) -> dict[Key, tuple[float, ...]]:
        """What was counted in the present slot and the `slots` - 1 before it; counters that did not move are left out.

        A slot without a copy had no events, so the state before a slot is the first copy made in it or after it.
        """
        first = int(now // self.width) - self.slots + 1
        base = next((copy for slot, copy in self._starts if slot >= first), None)
        if base is None:
            return {}
        found: dict[Key, tuple[float, ...]] = {}
        for key, values in counters.items():
            then = base.get(key)
            moved = tuple(values) if then is None else tuple(a - b for a, b in zip(values, then, strict=True))
            if any(moved):
                found[key] = moved
        return found
