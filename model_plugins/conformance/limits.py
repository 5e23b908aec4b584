"""What one call of a plug-in may cost while it is checked."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Generous, so that they mean the same on every machine: they find what never ends, not what is slow.

    `seconds`: processor time of one call, over all its threads; three times as long on the clock and the child is
    killed. `memory_mib`: what the plug-in may hold beyond what it held once it was loaded. `load_seconds`: on the
    clock, for importing it and making an instance.
    """

    seconds: float = 10.0
    memory_mib: int = 1024
    load_seconds: float = 60.0

    @property
    def clock_seconds(self) -> float:
        """After which a call is killed, whether it computes or sleeps."""
        return 3 * self.seconds
