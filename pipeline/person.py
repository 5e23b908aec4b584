"""Who moves an alias or signs a plug-in, for people who read it later."""

from __future__ import annotations

import getpass


def person() -> str:
    """The user's name; "" in a container without a name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
