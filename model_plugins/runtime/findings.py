"""What running the plug-ins on one medium gave: features, and for each plug-in that gave none the reason."""

from __future__ import annotations

import msgspec

from materials.errors import Rejected, SosieError
from materials.records import Features


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """Why a plug-in gave nothing. `bad_input`: the plug-in refused the medium, and is not itself at fault."""

    code: str
    sentence: str
    bad_input: bool = False

    @property
    def reason(self) -> str:
        """`code: sentence`."""
        return f"{self.code}: {self.sentence}"


class Findings(msgspec.Struct, frozen=True):
    """`features` and `missing` by `plugin@version`; `missing` holds reasons, of optional plug-ins only."""

    features: Features = {}
    missing: dict[str, str] = {}


def failure_of(error: BaseException) -> Failure:
    """An exception as a reason; one that has a `code` of its own keeps it."""
    if isinstance(error, Rejected):
        return Failure(error.code, error.sentence, bad_input=True)
    if isinstance(error, TimeoutError):
        return Failure("too_slow", "no answer within the plug-in's time")
    code = getattr(error, "code", None)
    sentence = str(error) if isinstance(error, SosieError) else f"{type(error).__name__}: {error}"
    return Failure(code if isinstance(code, str) else "plugin_failed", sentence)
