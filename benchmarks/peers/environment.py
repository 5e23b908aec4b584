"""Which interpreter runs an adapter: `faiss` the project's own, any other one of its own outside the tree."""

from __future__ import annotations

import sys
from pathlib import Path

OWN = ("faiss",)
"""Adapters that need nothing beside the project's environment."""


def python_of(engine: str) -> Path:
    """The interpreter with that engine's library.

    Raises:
        LookupError: there is none.
    """
    if engine in OWN:
        return Path(sys.executable)
    raise LookupError(f"no environment for {engine}; known: {', '.join(OWN)}")
