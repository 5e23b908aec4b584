"""How an attempt to call a model server can fail, in the types of `materials.errors`, and what that says of the server.

| error | the server | the call |
|---|---|---|
| ServerGone | nobody listens | goes on to another |
| AttemptTimedOut | hangs, or is far slower than it was | goes on to another |
| Overloaded | alive, its queue is full | goes on to another, or slows its caller down |
| ModelUnknown | alive, without this model | goes on to another |
| other Permanent | alive: it refused the input | fails |
| other Retryable | failed inside | goes on to another |
"""

from __future__ import annotations

import asyncio

from materials.errors import Overloaded, Permanent, Retryable
from model_plugins.observing import FailureKind


class ServerGone(Retryable):
    """Nobody listens there (any more)."""


class AttemptTimedOut(Retryable):
    """No answer in the time that one attempt has; the call's own deadline may lie further off."""


class ModelUnknown(Permanent):
    """The server does not have the model, or not this version; another one may."""


def failure_kind(error: BaseException | None) -> FailureKind | None:
    """The name of an attempt's failure; None when it was answered."""
    if error is None:
        return None
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, ServerGone):
        return "gone"
    if isinstance(error, AttemptTimedOut | TimeoutError):
        return "timeout"
    if isinstance(error, Overloaded):
        return "overloaded"
    return "permanent" if isinstance(error, Permanent) else "retryable"


def is_servers_fault(kind: FailureKind | None) -> bool:
    """Whether such a failure counts against the server's health. A full queue and bad input do not."""
    return kind in ("gone", "timeout", "retryable")
