"""What model calls tell whoever counts them.

The methods are called in the event loop of the calls, several times for each: they must not wait, raise or allocate
much. `Silent` is the default; metrics implement the protocol.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

FailureKind = Literal["timeout", "gone", "overloaded", "retryable", "permanent", "cancelled"]
"""How an attempt can end without an answer.

timeout: no answer in the attempt's time. gone: nobody listens. overloaded: a full queue, or the cap of calls in flight.
retryable: the server failed. permanent: it refused the input, or does not know the model. cancelled: another attempt
of the same call was answered first, or nobody waits any more.
"""


class Attempt(msgspec.Struct, frozen=True):
    """One call of one server. The same object is given to `attempt_started` and `attempt_ended`.

    `version`: as asked for, empty where the server chooses. `endpoint`: `host:port`. `hedge`: it runs beside an
    attempt that takes long.
    """

    model: str
    version: str
    endpoint: str
    rows: int
    hedge: bool = False


class CallObserver(Protocol):
    """Each `attempt_started` is followed by exactly one `attempt_ended`."""

    def attempt_started(self, attempt: Attempt) -> None:
        """A server is about to be called."""
        ...

    def attempt_ended(self, attempt: Attempt, seconds: float, failure: FailureKind | None, served: str) -> None:
        """It ended after `seconds`; `failure` is None when it was answered, and `served` the version that answered
        (empty where the server does not say, or none did)."""
        ...

    def retried(self, model: str, endpoint: str, failure: FailureKind) -> None:
        """A call goes on to another attempt after `endpoint` failed it in this way."""
        ...

    def hedged(self, model: str, endpoint: str) -> None:
        """A second attempt is started while `endpoint` takes longer than the model's p95."""
        ...

    def ejected(self, model: str, endpoint: str, seconds: float, reason: str) -> None:
        """The endpoint gets no calls for `seconds` at least; `reason`: `consecutive_failures`, `success_rate` or
        `probe_failed`."""
        ...

    def readmitted(self, model: str, endpoint: str) -> None:
        """An ejected endpoint answered a probe and takes calls again."""
        ...

    def batch_formed(self, model: str, version: str, rows: int, waited: float, queued: int) -> None:
        """A batch of `rows` leaves; its oldest row waited `waited` seconds and `queued` rows stay behind."""
        ...


class Silent:
    """Nobody counts."""

    def attempt_started(self, attempt: Attempt) -> None:
        """Nothing."""

    def attempt_ended(self, attempt: Attempt, seconds: float, failure: FailureKind | None, served: str) -> None:
        """Nothing."""

    def retried(self, model: str, endpoint: str, failure: FailureKind) -> None:
        """Nothing."""

    def hedged(self, model: str, endpoint: str) -> None:
        """Nothing."""

    def ejected(self, model: str, endpoint: str, seconds: float, reason: str) -> None:
        """Nothing."""

    def readmitted(self, model: str, endpoint: str) -> None:
        """Nothing."""

    def batch_formed(self, model: str, version: str, rows: int, waited: float, queued: int) -> None:
        """Nothing."""
