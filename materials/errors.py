"""Errors, typed by what to do about them.

SosieError
├── Retryable          the same call may succeed later; the record goes to the retry path
│   └── Overloaded     the other side is full: wait `retry_after` seconds, this is backpressure and not a fault
├── Permanent          the same call will fail again; the record is dead-lettered at once
│   └── Rejected       the *input* is bad: outcome `rejected`, with `code: sentence` as its reason
└── UsageError         the person who called made a mistake; exit code 2 and the next command to try
"""

from __future__ import annotations


class SosieError(Exception):
    """Base of every error that sosie raises on purpose.

    `plugin`: `name@version` of the plug-in at whose work it happened, "" where it was none's.
    """

    plugin = ""


class Retryable(SosieError):
    """May succeed later."""


class Overloaded(Retryable):
    """The other side asks us to slow down.

    Args:
        message: what is full.
        retry_after: seconds to wait before the next attempt.
    """

    def __init__(self, message: str, retry_after: float = 0.1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(SosieError):
    """Will fail again in the same way."""


class Rejected(Permanent):
    """The input record is bad.

    Args:
        code: stable machine-readable name, e.g. `missing_file`.
        sentence: what was wrong, where, and what would be right.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    @property
    def reason(self) -> str:
        """`code: sentence`, as it stands in the outcome record."""
        return f"{self.code}: {self.sentence}"

    def __str__(self) -> str:
        return self.reason


class UsageError(SosieError):
    """A mistake of the caller.

    Args:
        message: one line that says what is wrong.
        remedy: the next command, or what would be right.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
