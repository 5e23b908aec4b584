"""Addresses as they may be shown: user names and passwords are left out, host and path stay."""

from __future__ import annotations

import re

HIDDEN = "***"
_USER_INFO = re.compile(r"(?<=://)[^\s/?#'\"]*@")  # greedy: a password may hold an @
_IN_QUERY = re.compile(r"(?<=[?&])(password|username)=[^\s&#'\"]*")  # Redis clients take them there, too


def without_secrets(text: str) -> str:
    """A text, the addresses in it without their secrets: `redis://***@cache:6379/0`."""
    return _IN_QUERY.sub(rf"\1={HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", text))
