"""A medium's name as it may stand in a reason."""

from __future__ import annotations

import re

MAX_SHOWN = 160
_USER_INFO = re.compile(r"(?<=://)[^/?#@]*@")


def shown(uri: str) -> str:
    """The medium as the producer wrote it, in quotes, printable, cut to 160 characters.

    Queries and user names of URLs are left out: presigned URLs carry their signature there, and reasons are kept.
    """
    if "://" in uri:
        uri = _USER_INFO.sub("", uri)
        head, mark, _ = uri.partition("?")
        uri = head + ("?…" if mark else "")
    if len(uri) > MAX_SHOWN:
        uri = uri[: MAX_SHOWN - 1] + "…"
    return "'" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in uri) + "'"
