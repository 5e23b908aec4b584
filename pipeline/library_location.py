"""Where the model library of a system lies."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "SOSIE_LIBRARY"


def library_location(state: Path) -> str:
    """`SOSIE_LIBRARY` (a folder or `s3://bucket/prefix`), else `STATE/library`."""
    return os.environ.get(ENVIRONMENT) or str(state / "library")
