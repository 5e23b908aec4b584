"""What the system says of itself after a case: `sosie reconcile run`."""

from __future__ import annotations

from pathlib import Path


def reconcile(state: Path) -> dict[str, object]:
    """Nothing, as long as there is no such command."""
    return {}
