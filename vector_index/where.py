"""Which materials a search may answer: by kind, business and time of creation."""

from __future__ import annotations

import msgspec


class Where(msgspec.Struct, frozen=True):
    """Materials that a search may answer. Empty tuples and None allow all; `since` <= created_at < `until`, in epoch
    seconds; a material without a time passes no bound of time."""

    kinds: tuple[str, ...] = ()
    biz: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None

    def admits(self, kind: str, biz: str, created: float | None) -> bool:
        """Whether a stored material passes."""
        if (self.kinds and kind not in self.kinds) or (self.biz and biz not in self.biz):
            return False
        if self.since is None and self.until is None:
            return True
        if created is None:
            return False
        return (self.since is None or created >= self.since) and (self.until is None or created < self.until)


EVERYTHING = Where()
