"""How long a call of the index service waited and how long it was decided.

It travels back in the trailing metadata `server-timing` (W3C Server Timing: `wait;dur=0.8, decide;dur=12.5`, in
milliseconds), and forth goes `traceparent` (W3C Trace Context) of a material of the call.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

TRACEPARENT: Final = "traceparent"
SERVER_TIMING: Final = "server-timing"
_ENTRY: Final = re.compile(r"([A-Za-z_]+);dur=([0-9.]+)")


class CallTiming(msgspec.Struct):
    """One item's way through a call. Moments: epoch nanoseconds, 0 for what did not happen.

    `items`: of the call. `waited_ms`, `decided_ms`: in the service, for the writer and by it; negative where the
    service does not say. `traceparent`: what the call carries, where it is this item's that is taken.
    """

    traceparent: str = ""
    asked: int = 0
    sent: int = 0
    answered: int = 0
    items: int = 0
    waited_ms: float = -1.0
    decided_ms: float = -1.0

    def leave(self, items: int) -> None:
        """A call of so many items leaves now."""
        self.sent = time.time_ns()
        self.items = items

    def arrive(self, trailing: Iterable[tuple[str, Any]] | None) -> None:
        """Its answer is here."""
        self.answered = time.time_ns()
        for key, value in trailing or ():
            if key == SERVER_TIMING and isinstance(value, str):
                found = {name: float(ms) for name, ms in _ENTRY.findall(value)}
                self.waited_ms = found.get("wait", -1.0)
                self.decided_ms = found.get("decide", -1.0)


def server_timing(waited_s: float, decided_s: float) -> tuple[tuple[str, str], ...]:
    """The trailing metadata of a call that waited and was decided for so many seconds."""
    return ((SERVER_TIMING, f"wait;dur={waited_s * 1e3:.3f}, decide;dur={decided_s * 1e3:.3f}"),)
