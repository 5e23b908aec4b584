"""Which entries a person means."""

from __future__ import annotations

import re

import msgspec

from materials.errors import UsageError
from reconcile.retry.entry import Entry

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """All of what is given must hold; what is empty does not count.

    `older_s`, `younger_s`: seconds since the first attempt. `error`: a part of the class or message, in any case.
    `plugin`: with or without its version.
    """

    material_ids: frozenset[str] = frozenset()
    older_s: float = 0.0
    younger_s: float = float("inf")
    error: str = ""
    plugin: str = ""
    biz: str = ""
    job: str = ""

    @property
    def is_everything(self) -> bool:
        """Nothing was given."""
        return self == Selection()

    def matches(self, entry: Entry, now: float) -> bool:
        """Whether an entry is meant.

        Args:
            now: epoch seconds.
        """
        age = now - entry.entered_at
        return (
            (not self.material_ids or entry.material_id in self.material_ids)
            and self.older_s <= age <= self.younger_s
            and self.error.lower() in f"{entry.error}: {entry.message}".lower()
            and (not self.plugin or self.plugin in (entry.plugin, entry.plugin.partition("@")[0]))
            and (not self.biz or self.biz == entry.biz)
            and (not self.job or self.job == entry.job)
        )


def seconds_of(text: str) -> float:
    """`90`, `90s`, `15m`, `2h` or `1.5d` in seconds.

    Raises:
        UsageError: it is none of these.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a length of time", "write 90s, 15m, 2h or 1.5d")
    return float(found[1]) * _UNITS[found[2] or "s"]
